PROGRAMS += pickup
pickup_SRCS := pickup/pickup.c pickup/pickup_message.c
