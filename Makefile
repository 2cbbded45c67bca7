# `make run` and `make test` set up all they need in .venv and are quick the second time. `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:

VENV := .venv
IN := $(VENV)/bin/python -m
# pip would do it on one processor.
COMPILE := $(IN) compileall -qq -j 0
ARGS ?=
TESTS ?=
# Tests at once: most lab tests wait for a peer's silence, so more than there are processors.
JOBS ?= 4

# The first Python that is new enough; PYTHON=… chooses another.
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each $(NEW_ENOUGH) 2>/dev/null && { echo $$each; break; }; done)

# An environment of another folder, or of a Python that is gone, is made anew.
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell grep -qsF -- '$(CURDIR)/$(VENV)' $(VENV)/pyvenv.cfg && $(VENV)/bin/python -c '' 2>/dev/null && echo good),good)
$(shell rm -rf $(VENV))
endif
endif

# What the lab tests are made of: iptables to the DNS fault's DNAT, a runtime with its plugins, registries, resolvers, balancers;
# of chromium, in which the HTML report is looked at.
LAB_PACKAGES := iptables nftables ipset conntrack containerd runc containernetworking-plugins etcd-server docker-registry \
	dnsmasq-base unbound haproxy nginx-light openssh-server openssl skopeo busybox-static iproute2 mandoc procps strace systemd util-linux \
	chromium

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: $(VENV)/.installed ## examine this machine (more arguments: make run ARGS="check --offline")
	@$(VENV)/bin/k8sdoctor list >/dev/null || exit 2  # a traceback ends with 1 too, and is no result
	@$(VENV)/bin/k8sdoctor $(ARGS); code=$$?; case $$code in \
	0) echo "make run: exit code 0, nothing failed" >&2 ;; \
	1) echo "make run: exit code 1, something failed on this node: see above" >&2 ;; \
	3) echo "make run: exit code 3, nothing failed, but something could not be looked at" >&2 ;; \
	*) exit $$code ;; esac

.PHONY: test
test: $(VENV)/.tools lab-packages ## run the tests (some of them: make test TESTS=tests/checks)
	@$(IN) pytest --numprocesses $(JOBS) --dist worksteal $(TESTS)

.PHONY: check
check: test lint types contracts audit docs-check ## all that CI asks: test, lint, types, contracts, libraries, docs

.PHONY: lint
lint: $(VENV)/.tools ## ruff: rules and format
	$(IN) ruff check .
	$(IN) ruff format --check .

.PHONY: types
types: $(VENV)/.tools ## mypy, strict, on the package, the checks, the tests
	$(IN) mypy

.PHONY: contracts
contracts: $(VENV)/.tools ## import-linter: which module may import which
	$(VENV)/bin/lint-imports

.PHONY: audit
audit: $(VENV)/.tools ## deptry, pip: the libraries that are declared are those that are imported, and they fit together
	$(VENV)/bin/deptry .
	@$(IN) pip check

.PHONY: docs
docs: $(VENV)/.tools ## write docs/checks/ from the checks' docstrings
	$(VENV)/bin/python docs/generate.py

.PHONY: pictures
pictures: $(VENV)/.tools ## take the pictures of the app anew, for the tests and the README; look at the difference
	@$(IN) pytest -q tests/tui --snapshot-update
	$(VENV)/bin/python docs/generate.py

.PHONY: docs-check
docs-check: $(VENV)/.tools ## docs/checks/ is up to date, links lead somewhere, examples run
	@$(IN) pytest -q tests/house/test_docs.py tests/house/test_examples.py

.PHONY: proto
proto: $(VENV)/.tools ## make k8sdoctor/host/cri_pb2.py from cri.proto
	$(IN) grpc_tools.protoc --proto_path=. --python_out=. k8sdoctor/host/cri.proto

.PHONY: bench
bench: $(VENV)/.tools lab-packages ## measure CPU, time, memory and growth on a lab node (root; ARGS="growth", ARGS=--store before a release)
	@$(IN) benchmarks.bench $(ARGS)

.PHONY: accuracy
accuracy: $(VENV)/.tools lab-packages ## break a lab node in each known way and print what is named first (root; ARGS=--pairs: two at once)
	@$(IN) tests.lab.accuracy $(ARGS)

# Debian's golang-go, half a GiB, is for the long run alone: CI holds certificates against what Go's client was recorded to say.
.PHONY: differential
differential: LAB_PACKAGES += golang-go
differential: $(VENV)/.tools lab-packages ## hold predictions against the real parts for many seeds (root; ARGS="certificates --first 1000")
	@$(IN) tests.differential $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.tools ## judge recorded nodes whose files and answers are spoiled, for many seeds (ARGS="1000 --first 5000")
	@$(IN) tests.fuzz $(ARGS)

.PHONY: hostile
hostile: $(VENV)/.tools lab-packages ## measure runs on a node without files, threads, /proc, with a wrong clock and 50,000 rules (root)
	@$(IN) tests.lab.hostile $(ARGS)

.PHONY: dist
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat --format %Y pyproject.toml)
dist: LAB_PACKAGES := dpkg-dev
dist: $(VENV)/.onefile lab-packages ## build into dist/: wheel, sdist, an executable for nodes without Python, man page, shell completions
	rm -rf dist build
	@$(IN) build --no-isolation --outdir dist . >/dev/null
	@# setuptools gives the files of an sdist the times and owners that they have here.
	@cd dist && name=$$(basename *.tar.gz .tar.gz) && tar -xzf $$name.tar.gz && tar --create --sort=name --mtime=@$$SOURCE_DATE_EPOCH \
		--owner=0 --group=0 --numeric-owner --mode=u+rwX,go=rX $$name | gzip -9n > $$name.tar.gz && rm -r $$name
	@$(IN) onefile.build dist/*.whl
	@$(VENV)/bin/python docs/manual.py dist >/dev/null
	@cd dist && find * -type f | LC_ALL=C sort | xargs sha256sum > ../SHA256SUMS && mv ../SHA256SUMS .
	@ls dist/*

.PHONY: dist-test
dist-test: LAB_PACKAGES += buildah
dist-test: $(VENV)/.onefile lab-packages ## test the executable that `make dist` has built, in a root without Python (root)
	@$(IN) pytest --quiet --numprocesses $(JOBS) --dist loadfile onefile/tests

.PHONY: clean
clean: ## remove all that these commands made
	rm -rf $(VENV) build dist .cache *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- what the commands above need ------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "k8sdoctor needs Python 3.11 or newer, and none was found: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@if ! $(PYTHON) $(NEW_ENOUGH); then \
		echo "k8sdoctor needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null; then \
		version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "Python's venv module is missing: on Debian and Ubuntu, apt-get install python$$version-venv" >&2; exit 1; fi
	@echo "making $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -m venv $(CURDIR)/$(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo "installing k8sdoctor and its libraries into $(VENV)" >&2
	@$(IN) pip install --quiet --no-compile --editable . || { echo "not all libraries could be installed (see above). For a machine without" \
		"network or PyPI, build one executable file elsewhere by 'make dist', and carry it there: docs/install.md" >&2; exit 1; }
	@# The doctor itself writes no file, and without these would compile each time. A library may hold files for another Python.
	@$(COMPILE) $(VENV)/lib k8sdoctor checks || true
	@touch $@

# pip reads dependency groups since 25.1; Debian 12 has 23.0.
$(VENV)/.tools: $(VENV)/.installed
	@echo "installing the tests' tools into $(VENV)" >&2
	@$(IN) pip install --quiet 'pip>=25.1'
	@$(IN) pip install --quiet --no-compile --group dev
	@$(COMPILE) -x '/test_' $(VENV)/lib tests || true
	@touch $@

$(VENV)/.onefile: $(VENV)/.tools
	@echo "installing what the one-file executable is linked with into $(VENV)" >&2
	@$(IN) pip install --quiet --group onefile
	@touch $@

# Only as root, only what is missing, and without starting anything: policy-rc.d is how Debian says so.
.PHONY: lab-packages
lab-packages:
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0; \
	missing=; for each in $(LAB_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$each 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$each"; done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing Debian packages:$$missing" >&2; \
	export DEBIAN_FRONTEND=noninteractive; policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then \
		trap 'rm -f $$policy' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
		printf '#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; fi; \
	apt-get update --quiet --quiet; \
	known=; for each in $$missing; do \
		if apt-cache show $$each >/dev/null 2>&1; then known="$$known $$each"; \
		else echo "this system has no package $$each: tests that need it will be skipped" >&2; fi; done; \
	[ -z "$$known" ] || apt-get install --yes --quiet --quiet --no-install-recommends $$known >/dev/null || \
		echo "not all could be installed: tests that need them will be skipped" >&2
