# The agent's parts are in the library, so that tests can drive a session on a socketpair.
LIB_SRCS += smtp/smtp_profile.c smtp/smtp_reply.c smtp/smtp_content.c smtp/smtp_command.c smtp/smtp_nexthop.c \
        smtp/smtp_lookup.c smtp/smtp_session.c smtp/smtp_sasl.c smtp/smtp_sasl_credentials.c smtp/smtp_sasl_cache.c smtp/smtp_connection_cache.c smtp/smtp_transaction.c smtp/smtp_report.c smtp/smtp_transcript.c \
        smtp/smtp_deliver.c smtp/smtp_tls.c smtp/smtp_tls_policy.c smtp/smtp_tls_start.c smtp/smtp_requiretls.c
PROGRAMS += smtp
smtp_SRCS := smtp/smtp.c

# One program, two names: called as lmtp it speaks LMTP.
$(BUILD)/bin/lmtp: $(BUILD)/bin/smtp
	ln -f $< $@
programs: $(BUILD)/bin/lmtp
UNIT_TESTS += smtp/smtp_pure_test.c smtp/smtp_session_test.c
FUZZERS += tests/fuzz/smtp_reply_fuzz.c tests/fuzz/smtp_content_fuzz.c
