LIB_SRCS += lib/base/str.c lib/base/buf.c lib/base/json.c lib/base/mem.c lib/base/err.c lib/base/map.c lib/base/clock.c lib/base/log.c
UNIT_TESTS += lib/base/base_test.c
