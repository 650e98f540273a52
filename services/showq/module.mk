PROGRAMS += showq
showq_DIR := daemon
showq_SRCS := services/showq/showq.c
