PROGRAMS += posttls-finger
posttls-finger_SRCS := commands/posttls_finger.c commands/posttls_finger_options.c commands/posttls_finger_probe.c \
        commands/posttls_finger_session.c
