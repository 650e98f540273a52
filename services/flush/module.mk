PROGRAMS += flush
flush_SRCS := services/flush/flush.c services/flush/flush_file.c
