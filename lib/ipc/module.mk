LIB_SRCS += $(filter-out %_test.c,$(wildcard lib/ipc/*.c))
UNIT_TESTS += $(wildcard lib/ipc/*_test.c)
FUZZERS += tests/fuzz/ipc_fuzz.c
