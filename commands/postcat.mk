PROGRAMS += postcat
postcat_SRCS := commands/postcat.c commands/postcat_show.c
