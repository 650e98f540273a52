LIB_SRCS += cleanup/cleanup_message.c cleanup/cleanup_envelope.c cleanup/cleanup_map.c cleanup/cleanup_masquerade.c \
        cleanup/cleanup_headers.c cleanup/cleanup_body.c cleanup/cleanup_commit.c cleanup/cleanup_arrival.c \
        cleanup/cleanup_session.c cleanup/cleanup_probe.c
PROGRAMS += cleanup
cleanup_SRCS := cleanup/cleanup.c
UNIT_TESTS += cleanup/cleanup_content_test.c
FUZZERS += tests/fuzz/cleanup_content_fuzz.c
