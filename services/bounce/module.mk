PROGRAMS += bounce
bounce_DIR := daemon
bounce_SRCS := services/bounce/bounce.c services/bounce/bounce_log_file.c services/bounce/bounce_notice.c
# In the library, so that tests can link them.
LIB_SRCS += services/bounce/bounce_compose.c
UNIT_TESTS += services/bounce/bounce_test.c
