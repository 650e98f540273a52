LIB_SRCS += $(filter-out %_test.c,$(wildcard lib/sasl/*.c))
UNIT_TESTS += $(wildcard lib/sasl/*_test.c)
LIBS += -Wl,--as-needed -lsasl2
FUZZERS += tests/fuzz/dovecot_fuzz.c
