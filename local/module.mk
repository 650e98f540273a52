PROGRAMS += local
LIB_SRCS += local/local_target.c
LOCAL_PARTS := local/local_recipient.c local/local_alias.c local/local_mailbox.c local/local_fallback.c local/local_forward.c \
    local/local_transport.c local/local_result.c
local_SRCS := local/local.c $(LOCAL_PARTS)
UNIT_TESTS += local/local_target_test.c
FUZZERS += tests/fuzz/alias_target_fuzz.c
