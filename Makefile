# Everything a person runs. Each target first puts on the machine what it needs (packaging/prepare,
# Debian's or Ubuntu's packages, as root); when everything is there that takes a fraction of a second.

PY := .venv/bin/python
BINDIR ?= /opt/cni/bin
# For the daemon's units; empty leaves them out.
UNITDIR ?= $(wildcard /etc/systemd/system)
# For man pages and completion; empty leaves them out.
SHAREDIR ?= /usr/local/share
PLACES = --documents dist/share $(if $(DESTDIR),--root '$(DESTDIR)') $(if $(UNITDIR),--units '$(UNITDIR)') $(if $(SHAREDIR),--share '$(SHAREDIR)') '$(BINDIR)'
DOCUMENTS := README.md CHANGELOG.md LICENSE NOTICE cnid/README.md cnitool/README.md $(wildcard plugins/*/README.md packaging/systemd/* cnitool/schemas/json/*)
ARGS ?=
# Of `make fuzz`: the day, so that each night tries other inputs.
SEED ?= $(shell date +%Y%m%d)
SOURCES := $(shell find cni cnid cnitool etcd_json hostnet libcni packaging plugins wiring -name '*.py' -o -path '*/schemas/json/*' -o -name '*.spec' -o -name '*.c' 2>/dev/null)

.DELETE_ON_ERROR:
.PHONY: help demo demo-overlay test test-heal test-kill test-races test-power test-packages fuzz lint build documents release deb wheel install uninstall bench bench-overlay plot docs pictures format lock schemas errors venv clean

help:
	@echo 'make demo       the main job in throwaway namespaces: two containers, a published port, clean-up'
	@echo 'make demo-overlay   three hosts, one overlay, who reaches whom; PEERS=etcd, evpn or multicast'
	@echo '                for another engine than the static list'
	@echo 'make test       lint, build and every test, JOBS at once (as root; ARGS="-k name" narrows pytest)'
	@echo 'make test-heal  whatever can be damaged comes back, with 1, 100 and 1,000 containers'
	@echo 'make test-kill  every plugin killed, and every call failed, at each system call'
	@echo 'make test-power   the power fails at every system call, and under a whole machine'
	@echo 'make test-races   ten thousand calls at once, and each call in the middle of each other'
	@echo 'make test-packages   all of what is released: upgraded, switched to and back, on a bare Debian'
	@echo 'make fuzz       100,000 hostile inputs and more; SEED=NUMBER for those of another day'
	@echo 'make lint       ruff, mypy, import-linter'
	@echo 'make build      the executables, in dist/bin/'
	@echo 'make install    copies them to BINDIR (default $(BINDIR)), keeps what another suite has there,'
	@echo '                and puts the units of the daemon into UNITDIR (/etc/systemd/system where that'
	@echo '                is), man pages and completion into SHAREDIR (/usr/local/share)'
	@echo 'make uninstall  takes all that away, and brings the other suite back, with running containers'
	@echo 'make release    dist/release/: the archive that unpacks over $(BINDIR), and its checksum;'
	@echo '                make deb, make wheel: a Debian package, and what pip installs, there too'
	@echo 'make bench      compares them with the reference suite in /usr/lib/cni'
	@echo 'make bench-overlay   an overlay: its ADD beside bridge, its throughput, its size'
	@echo 'make plot       draws docs/growth.png from the newest results of make bench'
	@echo 'make docs       the site, in build/site/; every link must lead somewhere'
	@echo '                make pictures: docs/pictures/, from its scenes'
	@echo 'make schemas    makes the JSON Schemas anew, from the readers and the pages of plugins;'
	@echo '                make errors: docs/errors.md, from the code'
	@echo 'make format     ruff format; make lock solves requirements.lock anew; make clean'

venv:
	@packaging/prepare venv

lint: venv
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-logo

build:
	@packaging/prepare build
	@$(MAKE) --silent --no-print-directory dist/bin

dist/bin: $(SOURCES) requirements.lock pyproject.toml
	@$(PY) packaging/build.py $@

demo:
	@packaging/prepare demo
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m examples.demo $(ARGS)

demo-overlay:
	@packaging/prepare demo-overlay
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m examples.demo_overlay $(ARGS)

# The tests wait for the kernel half of the time, and each has namespaces of its own.
JOBS ?= $(shell echo $$(($$(nproc) + 1)))

# Lint and build side by side: two cores, and neither needs the other.
test:
	@packaging/prepare test
	@$(MAKE) --silent --no-print-directory --output-sync=target -j2 lint dist/bin
	@$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-heal:
	@packaging/prepare test
	@$(PY) -m pytest tests/heal tests/reliability/test_heal.py --whole $(ARGS)

test-kill:
	@packaging/prepare test
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m pytest tests/reliability/kill --whole -n 2 $(ARGS)

test-races:
	@packaging/prepare test
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m pytest tests/reliability/races --whole $(ARGS)

test-packages:
	@packaging/prepare test
	@packaging/prepare test-packages
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m pytest tests/packaging --whole $(ARGS)

test-power:
	@packaging/prepare test
	@$(PY) -m pytest tests/reliability/power --whole $(ARGS)

fuzz:
	@packaging/prepare test
	@FUZZ_SEED=$(SEED) $(PY) -m pytest tests/fuzz --whole -s $(ARGS)

bench:
	@packaging/prepare bench
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m bench $(ARGS)

bench-overlay:
	@packaging/prepare bench-overlay
	@$(MAKE) --silent --no-print-directory dist/bin
	@$(PY) -m bench.overlay $(ARGS)

docs:
	@packaging/prepare docs
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/python -m mkdocs --quiet build --strict $(ARGS)

pictures: venv
	@$(PY) packaging/pictures.py

plot:
	@packaging/prepare plot
	@.venv-plot/bin/python -m bench.plot $(ARGS)

documents:
	@packaging/prepare documents
	@$(MAKE) --silent --no-print-directory dist/share

dist/share: $(SOURCES) $(DOCUMENTS) pyproject.toml
	@$(PY) packaging/documents.py $@
	@touch $@

release: build documents
	@$(PY) packaging/release.py dist/bin dist/share dist/release

deb: build documents
	@$(PY) packaging/debian.py dist/bin dist/share dist/release

wheel: venv
	@$(PY) -m hatchling build -t wheel -d dist/release

install: build documents
	@$(PY) -m cnitool install --from dist/bin $(PLACES)

uninstall: documents
	@$(PY) -m cnitool uninstall $(PLACES)

schemas: venv
	@$(PY) -m cnitool.schemas.document

errors: venv
	@$(PY) packaging/catalogue.py

format: venv
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix --quiet .

lock: venv
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements.lock
	@.venv/bin/uv pip compile --group plot --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements-plot.lock
	@.venv/bin/uv pip compile --group docs --universal --python-version 3.11 \
		--generate-hashes --no-header --upgrade --quiet --output-file requirements-docs.lock

clean:
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
