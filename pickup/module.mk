PROGRAMS += pickup
pickup_SRCS := pickup/pickup.c
LIB_SRCS += pickup/pickup_message.c
UNIT_TESTS += pickup/pickup_message_test.c
