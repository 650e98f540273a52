PROGRAMS += cleanup
cleanup_SRCS := cleanup/cleanup.c cleanup/cleanup_message.c cleanup/cleanup_envelope.c cleanup/cleanup_map.c \
        cleanup/cleanup_headers.c cleanup/cleanup_body.c cleanup/cleanup_commit.c cleanup/cleanup_arrival.c \
        cleanup/cleanup_session.c
