PROGRAMS += trivial-rewrite
trivial-rewrite_SRCS := services/trivial-rewrite/trivial-rewrite.c
