LIB_SRCS += lib/agent/agent.c lib/agent/agent_report.c lib/agent/agent_serve.c lib/agent/bounce_client.c lib/agent/bounce_template.c lib/agent/queue_list.c lib/agent/queue_filter.c lib/agent/verp.c lib/agent/transcript.c lib/agent/postdrop.c \
    lib/agent/mailbox.c lib/agent/mbox.c lib/agent/maildir.c
UNIT_TESTS += lib/agent/agent_test.c lib/agent/queue_filter_test.c lib/agent/mailbox_test.c
FUZZERS += tests/fuzz/delivery_fuzz.c tests/fuzz/queue_filter_fuzz.c
