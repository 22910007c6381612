#!/usr/bin/env bash
# Everything that wants a GPU, in one call, each stage with a limit: benchmarks, kernel tests, and with what time is left the
# reader's training; without that, under ten minutes. At most eight files are left in OUT.
# usage: tests/harness/gpu.sh OUT [DATA [MINUTES]]   (from the top level; OUT gets the results, DATA is what the reader learns from)
set -uo pipefail
out=$1 data=${2:-} minutes=${3:-6}
python=${PYTHON:-python3}
export PYTHONPATH=.:kernels${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
mkdir -p "$out"
wanted="beautifulsoup4 charset-normalizer filelock hypothesis jinja2 llvmlite numba pathspec platformdirs pypdf pypdfium2 pytest
  pytest-timeout pytest-xdist rich tiktoken typer xxhash"
if [ -d wheels ]; then  # one by one: what is there already may have no wheel
  for name in $wanted; do "$python" -m pip install --quiet --no-index --find-links wheels "$name" 2>> "$out/log.txt" || true; done
fi
for preset in qwen2.5-7b reader; do
  timeout 90 "$python" -m tscli bench attention --preset $preset --length 128k,512k,1m -r 10 -o json \
    > "$out/gpu-attention-$preset.json" 2>> "$out/log.txt"
done
timeout 100 "$python" -m tscli bench --length 8k,32k,128k -r 3 --n-gen 48 -o json > "$out/gpu-bench.json" 2>> "$out/log.txt"
timeout 180 "$python" tests/harness/gpu_library.py 262144 "$out/gpu-library.json" >> "$out/log.txt" 2>&1
timeout 120 "$python" -m pytest -q -n 8 --continue-on-collection-errors tests/kernels tests/model/test_cuda_graph.py \
  tests/model/test_paged.py > "$out/kernel-tests.txt" 2>&1
tail -3 "$out/kernel-tests.txt"
if [ -n "$data" ]; then
  timeout $((60 * minutes + 60)) "$python" -m tests.harness.reader_training.train --data "$data" --out "$out/reader" --init-from tscli/reader \
    --minutes "$minutes" --compile --batch-tokens 131072 --lengths 512,512,4096 --workers 12 --threads 4 --eval-sequences 512 \
    --save-minutes 2 > "$out/train.txt" 2>&1
  tail -5 "$out/train.txt" | tee -a "$out/log.txt"
  rm "$out/train.txt"
  for file in "$out"/reader/best/model.safetensors "$out"/reader/log.jsonl; do [ -f "$file" ] && mv "$file" "$out"; done
  rm -rf "$out/reader"
fi
