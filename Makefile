# Every target does all the set-up that it needs, and nothing twice.
PYTHON ?= python3
# x86 Linux: the index that has CPU-only torch (a plain install would pull gigabytes of CUDA). Empty it where
# pip already finds such a wheel: make run TORCH_INDEX=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
# What lets one in, for chat and smoke. Before the word make it is in the environment, and in no list of processes.
ifneq ($(CODE),)
export CURTAIN_CODE := $(CODE)
endif
ifneq ($(TOKEN),)
export CURTAIN_TOKEN := $(TOKEN)
endif

.PHONY: help run chat model native test simulate load image test-image test-cloud doctor deploy destroy logs code smoke check format lock audit bench bench-env docs demo-model clean distclean

.NOTPARALLEL:  # one pip at a time in one environment

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.native  ## open the house on this machine; options: ARGS="--port 8000 --cold-start 50 ..."
	@exec $(BIN)/python -m local $(ARGS)

chat: $(VENV)/.run  ## talk to a running house in the terminal: [CODE=...|TOKEN=...] make chat [URL=https://page-or-wss://...] [IAM=1]
	@exec $(BIN)/python -m local.chat $(if $(URL),'$(URL)') $(if $(IAM),--iam) $(ARGS)

model: $(VENV)/.native  ## make a model's bundle: MODEL=llama3.1-8b [SOURCE=dir-or-repo] [TARGET=arm64|x86_64] [WORLD=...]
	$(if $(MODEL),,$(error name one: make model MODEL=llama3.1-8b; docs/models.md lists them))
	@exec $(BIN)/python -m lambda_image.engine.convert.build '$(MODEL)' \
		$(if $(SOURCE),--source '$(SOURCE)') $(if $(TARGET),--target $(TARGET)) $(addprefix --world ,$(WORLD)) $(ARGS)

native: $(VENV)/.run  ## compile the native library, if it isn't yet
	$(BIN)/python -m lambda_image.engine.native.build $(ARGS)

test: check $(VENV)/.native  ## all checks and tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

simulate: $(VENV)/.test  ## play N=1000000 schedules with injected faults, and plant bugs; the last line is JSON
	@exec $(BIN)/python -m tests.sim --schedules $(or $(N),1000000) $(if $(SEED),--seed $(SEED)) $(ARGS)

load: $(VENV)/.native $(VENV)/.test  ## send a crowd to a house, and see whether its caps hold; the last line is JSON
	@exec $(BIN)/python -m tests.load $(ARGS)

check: $(VENV)/.test  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Without the client that downloads models, which tokenizers asks for: the images' tokenizers read files.
lock: .venv-tools/.tools  ## pin anew all that the images install, file by file: [ARGS=--upgrade]
	@for part in lambda_image prologue; do \
		echo huggingface-hub | .venv-tools/bin/uv pip compile -q --universal --python-version 3.13 \
			--only-binary :all: --generate-hashes --no-header --no-annotate --no-emit-index-url \
			--excludes /dev/stdin -o $$part/requirements.lock $(ARGS) $$part/requirements.txt || exit 1; \
	done

audit: .venv-tools/.tools  ## ask PyPI which of the pinned packages are known to be vulnerable
	@for file in $(PINNED); do \
		echo "$$file:" >&2; \
		.venv-tools/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off $(ARGS) -r "$$file" || \
		{ echo 'curtain: the lines above say which: a package is known to be vulnerable (pin a newer version, then' \
		'make lock); or PyPI could not be asked ("not found on PyPI": a mirror that has packages but no advisories)' \
		'and make audit has to run where PyPI itself can be reached' >&2; exit 1; }; \
	done
PINNED = $(filter-out cdk.out/%,$(wildcard */requirements.lock requirements*.txt */requirements*.txt */*/requirements*.txt))

# Lambda refuses an image index, which is what attestations would make of the image.
image: $(VENV)/.native  ## build a function's image: [MODEL=demo] [ARCH=arm64|amd64] [KERNELS=native|aten] [FUNCTION=model|prologue]
	@docker buildx version >/dev/null || { echo 'curtain: make image needs Docker with buildx' >&2; exit 1; }
	@[ '$(FUNCTION)' = prologue ] || [ -e '$(LINK)/manifest.json' ] || $(MAKE) model MODEL='$(or $(MODEL),demo)' ARGS=
	docker buildx build --load --provenance=false --sbom=false --platform linux/$(or $(ARCH),arm64) \
		--target $(IMAGE) $(if $(BASE),--build-arg BASE='$(BASE)') \
		$(if $(filter aten,$(KERNELS)),--build-arg TORCH_INDEX='$(TORCH_INDEX)') \
		$(if $(filter prologue,$(FUNCTION)),,--build-context bundle="$$(realpath '$(LINK)')") \
		--tag curtain-$(IMAGE) \
		--file lambda_image/Dockerfile $(ARGS) .
# Where make model leaves it: the catalog knows models by other names too, one's own model has its own. Asked once.
LINK = $(eval LINK := .cache/models/$(shell $(BIN)/python -c '$(FIND)' '$(or $(MODEL),demo)' 2>/dev/null \
	|| echo '$(MODEL)' | tr A-Z a-z))$(LINK)
FIND = import sys; from lambda_image.engine.convert.catalog import load_catalog; print(load_catalog().find(sys.argv[1]).name)
IMAGE = $(or $(FUNCTION),model)$(if $(filter aten,$(KERNELS)),-aten)

test-image: $(VENV)/.native  ## build the images for both architectures, run them as Lambda does, prove what they do
	@exec $(BIN)/python -m tests.image $(ARGS)

test-cloud: $(VENV)/.native $(VENV)/.cdk  ## deploy to an emulated AWS with the real CDK, and play a story there
	@exec $(BIN)/python -m tests.cloud $(ARGS)

doctor: $(VENV)/.cdk  ## what account and machine lack for a deploy: [MODEL=llama3.1-8b]
	@exec $(BIN)/python -m infra.doctor $(if $(MODEL),--model '$(MODEL)') $(ARGS)

deploy: $(VENV)/.native $(VENV)/.cdk  ## deploy to your AWS account: [MODEL=llama3.1-8b] [ARGS="-c curtain:auth=open"]
	@exec $(BIN)/python -m tools.deploy $(if $(MODEL),--model '$(MODEL)') $(ARGS)

destroy: $(VENV)/.cdk  ## take it all away again: [ARGS="-c curtain:region=... -c curtain:stack=..."]
	@exec $(BIN)/python -m tools.destroy $(ARGS)

logs: $(VENV)/.cdk  ## what the deployed functions say: [ARGS="--minutes 60 --no-follow -c ..."]
	@exec $(BIN)/python -m tools.logs $(ARGS)

code: $(VENV)/.cdk  ## the deployed house's access code: [ARGS="-c ..."]
	@exec $(BIN)/python -m tools.code $(ARGS)

smoke: $(VENV)/.run  ## prove a deployed house: [CODE=...|TOKEN=...] make smoke URL=https://page-or-wss://... [IAM=1]
	$(if $(URL),,$(error where is it? make smoke URL=https://...: the PageUrl of make deploy))
	@exec $(BIN)/python -m tools.smoke '$(URL)' $(if $(PAGE),--page '$(PAGE)') $(if $(IAM),--iam) $(ARGS)

bench: $(VENV)/.native  ## measure; each part's last line is one JSON document
	$(BIN)/python -m bench.stage
	$(BIN)/python -m bench.engine

bench-env: .venv-bench/.bench  ## compile llama.cpp for `python -m bench.engine --vs llama.cpp` (ten minutes)

docs: $(VENV)/.run  ## write anew what in docs/ is made from schemas and the catalog
	$(BIN)/python -m tools.asyncapi docs/asyncapi.yaml
	$(BIN)/python -m tools.models docs/models.md
	$(BIN)/python -m prologue schema --write

demo-model: $(VENV)/.native  ## train the demo model anew (an hour or two)
	$(BIN)/python -m tools.train_demo_model $(ARGS)

clean:  ## remove what the other targets made, except for downloaded checkpoints
	rm -rf $(VENV) .venv-bench .venv-tools lambda_image/engine/native/compiled .mypy_cache .ruff_cache .pytest_cache .hypothesis cdk.out
	[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name checkpoints -exec rm -rf {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the checkpoints too: gigabytes that `make model` would download again
	rm -rf .cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'curtain: Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch first and by itself, so that nothing else ever pulls another build of it.
$(VENV)/.torch: lambda_image/requirements-build.txt | $(BIN)/python
ifeq ($(shell uname -s)-$(shell uname -m),Linux-x86_64)
	$(PIP) install -q --retries 1 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) \
		"$$(sed -n 's/^\(torch==[0-9.]*\);.*x86_64.*/\1+cpu/p' $<)"
endif
	@touch $@

# Two of them without what they depend on: of the one only Amazon's Runtime Interface Emulator is used, of the
# other only the sentence model's files. Later installs would warn that the rest of them is missing.
FILES_ONLY := lambda_image/requirements-emulator.txt prologue/requirements-embedder.txt
RUN := local/requirements.txt prologue/requirements.txt lambda_image/requirements.txt $(FILES_ONLY)
$(VENV)/.run: $(RUN) $(VENV)/.torch
	$(PIP) install -q -r local/requirements.txt
	$(PIP) install -q --no-deps $(addprefix -r ,$(FILES_ONLY))
	@touch $@

# The build itself knows whether anything changed.
NATIVE := lambda_image/engine/native
$(VENV)/.native: $(wildcard $(NATIVE)/*.cpp $(NATIVE)/*.h) $(NATIVE)/build.py $(NATIVE)/target.py $(VENV)/.run
	$(BIN)/python -m lambda_image.engine.native.build
	@touch $@

# What is needed to run is in it, and so is resolved once.
$(VENV)/.test: tests/requirements.txt requirements.txt $(RUN) $(VENV)/.torch
	$(PIP) install -q --no-warn-conflicts -r tests/requirements.txt
	$(PIP) install -q --no-deps $(addprefix -r ,$(FILES_ONLY))
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
		$(BIN)/python -m playwright install chromium || \
		{ echo 'curtain: the page tests need Chromium; install it, e.g. apt-get install chromium' >&2; exit 1; }
	@touch $(VENV)/.run $@

$(VENV)/.cdk: requirements.txt $(VENV)/.run
	$(PIP) install -q --no-warn-conflicts -r requirements.txt
	@touch $@

.venv-tools/.tools: tools/requirements.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip --disable-pip-version-check install -q -r $<
	@touch $@

# Another engine's own environment: nothing of it can get into ours. Its compiler is the system's.
.venv-bench/.bench: bench/requirements.txt
	$(PYTHON) -m venv .venv-bench
	CMAKE_ARGS=-DGGML_NATIVE=ON .venv-bench/bin/python -m pip --disable-pip-version-check install -q \
		--no-binary llama-cpp-python -r bench/requirements.txt
	@touch $@
