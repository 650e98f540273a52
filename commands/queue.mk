PROGRAMS += postqueue postsuper qshape
qshape_SRCS := commands/qshape.c commands/qshape_table.c
postqueue_SRCS := commands/postqueue.c commands/postqueue_list.c commands/postqueue_flush.c
postsuper_SRCS := commands/postsuper.c commands/postsuper_actions.c commands/postsuper_all.c commands/postsuper_structure.c
LIB_SRCS += commands/postqueue_print.c commands/postqueue_top.c
FUZZERS += tests/fuzz/queue_list_fuzz.c
