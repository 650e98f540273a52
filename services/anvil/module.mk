LIB_SRCS += services/anvil/anvil_counters.c
UNIT_TESTS += services/anvil/anvil_test.c
PROGRAMS += anvil
anvil_SRCS := services/anvil/anvil.c
