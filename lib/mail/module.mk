LIB_SRCS += lib/mail/address.c lib/mail/address_list.c lib/mail/address_xtext.c lib/mail/header.c lib/mail/smtp_syntax.c \
        lib/mail/queue_record.c lib/mail/queue_id.c lib/mail/queue_file.c lib/mail/queue_scan.c lib/mail/record_walk.c \
        lib/mail/queue_reader.c lib/mail/queue_envelope.c lib/mail/bounce_log.c
UNIT_TESTS += lib/mail/address_test.c lib/mail/syntax_test.c lib/mail/queue_test.c
FUZZERS += $(foreach n,address xtext header smtp_command bounce_log queue_envelope,tests/fuzz/$(n)_fuzz.c)
