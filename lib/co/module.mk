LIB_SRCS += lib/co/co.c lib/co/co_switch.c lib/co/co_stack.c lib/co/co_loop.c lib/co/co_fd.c lib/co/co_sync.c lib/co/co_job.c
UNIT_TESTS += lib/co/co_test.c lib/co/co_io_test.c lib/co/co_job_test.c
