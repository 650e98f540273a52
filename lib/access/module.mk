LIB_SRCS += $(filter-out %_test.c,$(wildcard lib/access/*.c))
UNIT_TESTS += $(wildcard lib/access/*_test.c)
FUZZERS += tests/fuzz/policy_reply_fuzz.c tests/fuzz/access_action_fuzz.c tests/fuzz/address_filter_fuzz.c
