PROGRAMS += local
LOCAL_PARTS := local/local_recipient.c local/local_alias.c local/local_target.c local/local_mailbox.c local/local_fallback.c \
    local/local_forward.c local/local_transport.c local/local_result.c
local_SRCS := local/local.c $(LOCAL_PARTS)
