PROGRAMS += postqueue postsuper
postqueue_SRCS := commands/postqueue.c commands/postqueue_print.c
postsuper_SRCS := commands/postsuper.c commands/postsuper_actions.c commands/postsuper_structure.c
