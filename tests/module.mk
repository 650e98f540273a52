# tests: what `make test` runs, from the fastest check to the whole suite.
# `make check` is the inner loop; `make test` is what continuous integration runs. PYTEST_ARGS adds options.

END_TO_END  := /usr/bin/python3 tests/end_to_end.py
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 5
export FUZZ_RUNS
FUZZ_NAMES  := $(patsubst %_fuzz,%,$(notdir $(basename $(FUZZERS))))

# Unit tests: one Check program a module.
check-units: unit-bins
	@for program in $(UNIT_BINS); do \
	    timeout 120 $$program >$$program.out 2>&1 || { cat $$program.out; echo "FAILED: $$program"; exit 1; }; \
	    grep -a '^100%' $$program.out | sed "s|^|unit $$(basename $$program): |"; \
	done

# Layers, sizes and whatever else can be seen without running anything.
check-tree:
	@pyflakes3 tests bench conf
	@set -e; for script in $(sort $(wildcard tests/check*.py)); do /usr/bin/python3 $$script; done

check: check-tree check-units

# Fuzz targets live in a build of their own, made by clang with the sanitizers.
define fuzz_rule
$(BUILD)/fuzz/$(1): $(call obj,tests/fuzz/$(1)_fuzz.c) $(LIB)
	@mkdir -p $$(@D)
	$$(CC) $$(ALL_LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(LIBS)
endef
$(foreach f,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(f))))
fuzz-bins: $(addprefix $(BUILD)/fuzz/,$(FUZZ_NAMES))

FUZZ_BUILD := BUILD=build-fuzz CC=clang SAN="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined" OPT=-O1

# Short runs over each target: the seeds, then so many seconds of new inputs. `make fuzz FUZZ_SECONDS=600` for more.
fuzz:
	@$(MAKE) --no-print-directory $(FUZZ_BUILD) fuzz-bins
	@bash tests/fuzz.sh build-fuzz/fuzz $(FUZZ_SECONDS) $(FUZZ_NAMES)

# Frames are larger with the sanitizers' red zones.
ASAN_BUILD := BUILD=build-asan OPT=-O1 \
    SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -Wno-frame-larger-than"

# The sanitizer builds run the unit tests, and the end-to-end tests marked `sanitize`.
asan:
	@$(MAKE) --no-print-directory $(ASAN_BUILD) programs check-units
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 DROMOS_BIN=build-asan/bin $(END_TO_END) -m sanitize

# Clang's thread-safety analysis checks that only functions marked CO suspend.
tsa:
	@$(MAKE) --no-print-directory BUILD=build-tsa CC=clang OPT=-O1 SAN=-Wthread-safety programs

e2e: programs
	@$(END_TO_END) $(PYTEST_ARGS)

test: deps
	@$(MAKE) --no-print-directory programs unit-bins
	@$(MAKE) --no-print-directory check-tree
	@$(MAKE) --no-print-directory check-units
	@$(MAKE) --no-print-directory tsa
	@$(MAKE) --no-print-directory fuzz FUZZ_RUNS=20000 FUZZ_SECONDS=30
	@$(MAKE) --no-print-directory asan
	@$(MAKE) --no-print-directory e2e

.PHONY: check check-units check-tree fuzz fuzz-bins asan tsa e2e test
