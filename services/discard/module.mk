PROGRAMS += discard
discard_DIR := daemon
discard_SRCS := services/discard/discard.c
