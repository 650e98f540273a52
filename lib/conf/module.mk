LIB_SRCS += lib/conf/params.c
