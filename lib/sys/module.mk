LIB_SRCS += $(filter-out %_test.c,$(wildcard lib/sys/*.c))
UNIT_TESTS += $(wildcard lib/sys/*_test.c)
