PROGRAMS += postqueue postsuper
postqueue_SRCS := commands/postqueue.c
postsuper_SRCS := commands/postsuper.c commands/postsuper_actions.c commands/postsuper_structure.c
LIB_SRCS += commands/postqueue_print.c
FUZZERS += tests/fuzz/queue_list_fuzz.c
