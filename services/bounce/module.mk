PROGRAMS += bounce
bounce_DIR := daemon
bounce_SRCS := services/bounce/bounce.c services/bounce/bounce_log_file.c services/bounce/bounce_notice.c \
        services/bounce/bounce_compose.c services/bounce/bounce_template.c
