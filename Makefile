# What people and CI type. The build itself is CMake's: see CMakePresets.json for the other ways.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build run check test test-build test-asan test-tsan fuzz coverage bench lint clean

BUILD := build/release
JOBS ?= $(shell tools/build_jobs.sh)
# Relays that `make run` syncs from, e.g. make run REMOTES="wss://relay.example"
REMOTES ?=
# How long `make fuzz` runs each target.
SECONDS ?= 60

# Where CMakePresets.json has AddressSanitizer report what it finds in tests and in the programs that these start.
# UndefinedBehaviorSanitizer's findings end in an abort, which is reported too.
REPORTS := build/asan-ubsan/reports

export CTEST_PARALLEL_LEVEL ?= $(shell nproc)

# $(call configure,tests ON or OFF,benchmarks ON or OFF): quick when nothing has changed.
configure = cmake --preset release -DGRASPD_TESTS=$(1) -DGRASPD_BENCH=$(2) >/dev/null
compile = cmake --build --preset release -j $(JOBS)

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

build:  ## Install the packages that are missing and build build/release/bin/graspd
	@tools/install_deps.sh build
	@$(call configure,OFF,OFF)
	@$(compile)

run: build  ## Start graspd and a small relay to sync from; REMOTES="wss://..." syncs from those instead
	@exec $(BUILD)/bin/graspd-demo $(if $(REMOTES),--remotes='$(REMOTES)')

check: test-build  ## Build, and run the quick tests
	@ctest --preset release-fast

test: test-build  ## Install what tests need, build, and run all tests
	@tools/install_grpcurl.sh
	@tools/install_interop.sh
	@ctest --preset release

test-build:
	@tools/install_deps.sh build test
	@$(call configure,ON,OFF)
	@$(compile)

test-asan:  ## All tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/install_deps.sh build test
	@tools/install_grpcurl.sh
	@tools/install_interop.sh
	@cmake --preset asan-ubsan >/dev/null
	@cmake --build --preset asan-ubsan -j $(JOBS)
	@rm -rf $(REPORTS)
	@status=0; ctest --preset asan-ubsan $(if $(TRIES),--repeat until-pass:$(TRIES)) || status=$$?; \
	if grep -qrs 'ERROR: ' $(REPORTS); then \
	  tail -n +1 $(REPORTS)/*; echo 'make: a sanitizer has reported the above, at whichever try' >&2; exit 1; \
	fi; exit $$status

test-tsan:  ## The tests of what has threads with ThreadSanitizer
	@tools/install_deps.sh build test tsan
	@cmake --preset tsan >/dev/null
	@cmake --build --preset tsan -j $(JOBS)
	@ctest --preset tsan

fuzz:  ## Build the fuzz targets and run each for SECONDS=60
	@tools/install_deps.sh build fuzz
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS)
	@tools/fuzz.sh $(SECONDS)

coverage:  ## Run all tests and print which lines of each folder they reach
	@tools/install_deps.sh build test coverage
	@tools/install_grpcurl.sh
	@tools/install_interop.sh
	@cmake --preset coverage >/dev/null
	@cmake --build --preset coverage -j $(JOBS)
	@find build/coverage -name '*.gcda' -delete
	@ctest --preset coverage
	@tools/coverage.py build/coverage

bench:  ## Build graspd-bench and the micro-benchmarks, and run the latter
	@tools/install_deps.sh build bench
	@$(call configure,OFF,ON)
	@$(compile)
	@set -e; for bench in $(BUILD)/bin/*_bench; do "$$bench"; done

lint:  ## Check style, layers and that every header compiles alone
	@tools/install_deps.sh build lint
	@python3 tools/lint.py
	@$(call configure,OFF,OFF)
	@$(compile) --target check_headers

clean:  ## Remove the build; data and the compiler cache stay
	rm -rf $(BUILD)
