PROGRAMS += error
error_DIR := daemon
error_SRCS := services/error/error.c
