PROGRAMS += verify
verify_DIR := daemon
verify_SRCS := services/verify/verify.c services/verify/verify_store.c services/verify/verify_probe.c
# In the library, so that tests can link it.
LIB_SRCS += services/verify/verify_cache.c
UNIT_TESTS += services/verify/verify_test.c
FUZZERS += tests/fuzz/verify_entry_fuzz.c
