LIB_SRCS += $(filter-out smtpd/smtpd.c %_test.c,$(wildcard smtpd/*.c))
PROGRAMS += smtpd
smtpd_SRCS := smtpd/smtpd.c
UNIT_TESTS += smtpd/smtpd_content_test.c smtpd/smtpd_session_test.c
FUZZERS += tests/fuzz/smtpd_content_fuzz.c tests/fuzz/smtpd_session_fuzz.c tests/fuzz/smtpd_attribute_fuzz.c
