#!/usr/bin/env bash
# Everything that wants a GPU, in one call: kernel tests, benchmarks, and with what time is left the reader's training.
# usage: tests/harness/gpu.sh OUT [DATA [MINUTES]]   (from the top level; OUT gets the results, DATA is what the reader learns from)
set -uo pipefail
out=$1 data=${2:-} minutes=${3:-6}
python=${PYTHON:-python3}
export PYTHONPATH=.:kernels PYTHONUNBUFFERED=1
mkdir -p "$out"
[ -d wheels ] && "$python" -m pip install --quiet --no-index --find-links wheels typer rich pypdf tiktoken numba pytest hypothesis || true
"$python" -m pytest -q tests/kernels tests/model/test_fixed_step.py tests/model/test_paged.py 2>&1 | tee "$out/kernel-tests.txt" | tail -3
for preset in qwen2.5-7b reader; do
  "$python" -m tscli bench --attention --preset $preset --length 128k,512k,1m -r 10 -o json > "$out/gpu-attention-$preset.json"
done
"$python" -m tscli bench --length 8k,32k,128k -r 3 --n-gen 64 -o json > "$out/gpu-bench.json"
if [ -n "$data" ]; then
  "$python" -m tscli.reader.train --data "$data" --out "$out/reader" --init-from tscli/reader --minutes "$minutes" --compile \
    --batch-tokens 131072 --lengths 512,512,4096 --workers 12 --threads 4 --eval-sequences 512 --save-minutes 2 2>&1 | tee "$out/train.txt" | tail -5
  rm -f "$out"/reader/checkpoint.part
fi
