LIB_SRCS += smtpd/smtpd_content.c smtpd/smtpd_session.c smtpd/smtpd_reply.c smtpd/smtpd_client.c smtpd/smtpd_hello.c smtpd/smtpd_auth.c \
        smtpd/smtpd_mail.c smtpd/smtpd_rcpt.c smtpd/smtpd_access.c smtpd/smtpd_store.c smtpd/smtpd_data.c \
        smtpd/smtpd_bdat.c smtpd/smtpd_standalone.c smtpd/smtpd_postdrop.c smtpd/smtpd_keywords.c smtpd/smtpd_command.c \
        smtpd/smtpd_footer.c smtpd/smtpd_transcript.c smtpd/smtpd_limits.c \
        smtpd/smtpd_attribute.c smtpd/smtpd_xclient.c smtpd/smtpd_xforward.c smtpd/smtpd_upstream.c smtpd/smtpd_tls.c smtpd/smtpd_starttls.c
PROGRAMS += smtpd
smtpd_SRCS := smtpd/smtpd.c
UNIT_TESTS += smtpd/smtpd_content_test.c smtpd/smtpd_session_test.c
FUZZERS += tests/fuzz/smtpd_content_fuzz.c
