PROGRAMS += master
master_SRCS := $(filter-out %_test.c,$(wildcard master/*.c))
