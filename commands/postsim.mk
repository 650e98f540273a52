PROGRAMS += postsim
postsim_SRCS := commands/postsim.c commands/postsim_print.c
