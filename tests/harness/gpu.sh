#!/usr/bin/env bash
# Everything that wants a GPU, each command with a limit, all of them together in under ten minutes. At most eight files are left
# in OUT. The exception is the reader's training, which comes last and only where DATA is given, for MINUTES.
#
# usage, from the top level:  [NAME=VALUE ...] tests/harness/gpu.sh OUT [DATA [MINUTES]]
#   CHECKPOINT=FOLDER  a real model: a .gguf file in it, whole or in pieces, or a folder in Hugging Face layout. Without it, its
#                      stage is left out.
#   STAGES="..."       which of: attention checkpoint bench library kernels. Default: all.
#   DEVICE=cpu LENGTHS=2k LOOKUPS=3 PATIENCE=5 STAGES=checkpoint  a rehearsal without a GPU: PATIENCE multiplies the limits
#
# Where the machine with the GPU has no network, take along in wheels/ those of `wanted` that it lacks:
#   pip download --only-binary=:all: --no-deps -d wheels --python-version 3.12 --platform manylinux_2_28_x86_64 NAME...
# In one call, where all that is taken along may be large enough: put the .gguf file in a folder, such as .models.
# In two calls: cut it with `split -b 50m MODEL.gguf MODEL.gguf.`, write `sha256sum MODEL.gguf > MODEL.gguf.sha256`, and put the
# pieces in folders of their own, .models/1 (with the sum) and .models/2. The first call takes along .models/1 and runs
# STAGES="attention bench library kernels"; the second, on the same machine and with .models/1 still there, takes along .models/2
# and runs STAGES=checkpoint CHECKPOINT=.models, which joins the pieces and compares the sum.
set -uo pipefail
out=$1 data=${2:-} minutes=${3:-6}
python=${PYTHON:-python3} device=${DEVICE:-cuda} lengths=${LENGTHS:-8k,32k,128k} patience=${PATIENCE:-1}
stages=${STAGES:-attention checkpoint bench library kernels}
deadline=$((SECONDS + 570 * patience))
export PYTHONPATH=.:kernels${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wanted="accelerate beautifulsoup4 bm25s chardet charset-normalizer filelock gguf hypothesis jinja2 lazy-loader llvmlite numba
  pathspec platformdirs pypdf pypdfium2 pytest pytest-timeout pytest-xdist rich selectolax tiktoken tinycss2 typer webencodings
  xxhash"
if [ -d wheels ]; then  # one by one: what is there already may have no wheel
  for name in $wanted; do
    for needs in "" --no-deps; do  # of a package's own needs not all may be there, and few are imported
      "$python" -m pip install --quiet --no-index --find-links wheels $needs "$name" 2>> "$out/log.txt" && break
    done
  done
fi

limited() {  # SECONDS COMMAND...: for so long at most, and never beyond the deadline
  local most=$(($1 * patience)) left=$((deadline - SECONDS))
  shift
  if [ "$left" -lt 5 ]; then
    echo "no time is left for: $*" >&2
    return 124
  fi
  timeout $((most < left ? most : left)) "$@" || { local code=$?; echo "exit status $code: $*" >&2; return $code; }
}

checkpoint_in() {  # FOLDER: the path of the model in it; what is in pieces is joined
  local first name
  if [ -f "$1/config.json" ]; then
    echo "$1"
    return
  fi
  first=$(find "$1" -name '*.gguf.aa' | head -1)
  if [ -z "$first" ]; then
    find "$1" -name '*.gguf' | sort | head -1
    return
  fi
  name=$(basename "$first" .aa)
  find "$1" -name "$name.a?" -printf '%f\t%p\n' | sort | cut -f2 | xargs -d '\n' cat > "$work/$name"
  cp "$(find "$1" -name "$name.sha256" | head -1)" "$work/$name.sha256" && (cd "$work" && sha256sum --quiet -c "$name.sha256") >&2 \
    && echo "$work/$name"
}

checkpoint() {  # FOLDER: a real model reads samples/, answers the 40 look-ups, and is timed
  local model
  model=$(checkpoint_in "$1")
  if [ -z "$model" ]; then
    echo "$1: no .gguf file, no folder with a config.json, or pieces that are not whole" >&2
    return 1
  fi
  export TSCLI_HOME=$work/home TSCLI_CACHE=$work/cache TSCLI_CONFIG=/dev/null
  grep '"kind": "lookup"' samples/questions.jsonl | head -n "${LOOKUPS:-40}" > "$work/look-ups.jsonl"
  [ -d "$model" ] || limited 30 "$python" -m tscli model get "$model"
  limited 40 "$python" -m tscli ingest samples --model "$model" --device "$device" --json > "$work/ingest.json" \
    && limited 60 "$python" -m tscli eval questions "$work/look-ups.jsonl" --device "$device" --baseline rag \
    --resume "$work/answers.jsonl" -o json > "$work/questions.json"
  limited 60 "$python" -m tscli bench --model "$model" --device "$device" --length "$lengths" -r 3 --n-gen 48 --peer transformers \
    -o json > "$work/bench.json"
  "$python" - "$work" "$out/gpu-checkpoint.json" << 'END'
import json, sys
from pathlib import Path

work, out = map(Path, sys.argv[1:])
files = {name: work / f"{name}.json" for name in ("ingest", "questions", "bench")}
found = {name: json.loads(file.read_text()) if file.exists() and file.stat().st_size else None for name, file in files.items()}
if found["questions"] is None and (work / "answers.jsonl").exists():  # stopped at its limit: those that were made
    lines = (work / "answers.jsonl").read_text().split("\n")[1:-1]
    found["answers"] = [json.loads(line) for line in lines]
out.write_text(json.dumps(found, indent=1) + "\n")
for row in (found["questions"] or {"results": []})["results"]:
    print(f"look-ups: {row['method']}: {round(row['right'] * row['n'])} of {row['n']} right")
END
}

for stage in $stages; do
  case $stage in
    attention)
      for preset in qwen2.5-7b reader; do
        limited 60 "$python" -m tscli bench attention --preset $preset --device "$device" --length 8k,128k,512k,1m -r 10 -o json \
          > "$out/gpu-attention-$preset.json" 2>> "$out/log.txt"
      done ;;
    checkpoint)
      [ -z "${CHECKPOINT:-}" ] || checkpoint "$CHECKPOINT" 2>> "$out/log.txt" ;;
    bench)
      limited 75 "$python" -m tscli bench --model reader --device "$device" --length "$lengths" -r 3 --n-gen 48 -o json \
        > "$out/gpu-bench.json" 2>> "$out/log.txt" ;;
    library)
      limited 110 "$python" tests/harness/gpu_library.py 262144 "$out/gpu-library.json" --device "$device" >> "$out/log.txt" 2>&1 ;;
    kernels)
      limited 90 "$python" -m pytest -q -n 8 --continue-on-collection-errors tests/kernels tests/model/test_paged.py 2>&1 \
        | tee -a "$out/log.txt" | tail -3 ;;
    *)
      echo "$stage: no such stage; choose among attention checkpoint bench library kernels" >&2
      exit 2 ;;
  esac
done
if [ -n "$data" ]; then
  timeout $((60 * minutes + 60)) "$python" -m tests.harness.reader_training.train --data "$data" --out "$out/reader" --init-from tscli/reader \
    --minutes "$minutes" --compile --batch-tokens 131072 --lengths 512,512,4096 --workers 12 --threads 4 --eval-sequences 512 \
    --save-minutes 2 > "$out/train.txt" 2>&1
  tail -5 "$out/train.txt" | tee -a "$out/log.txt"
  rm "$out/train.txt"
  for file in "$out"/reader/best/model.safetensors "$out"/reader/log.jsonl; do [ -f "$file" ] && mv "$file" "$out"; done
  rm -rf "$out/reader"
fi
