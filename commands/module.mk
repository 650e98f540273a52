PROGRAMS += postmap postalias
POSTMAP_SHARED := commands/postmap_main.c commands/postmap_query.c commands/postmap_build.c
postmap_SRCS := commands/postmap.c $(POSTMAP_SHARED)
postalias_SRCS := commands/postalias.c $(POSTMAP_SHARED)

PROGRAMS += postfix postlog postkick postlock
postfix_SRCS := commands/postfix.c commands/postfix_start.c commands/postfix_check.c commands/postfix_config.c
postlog_SRCS := commands/postlog.c
postkick_SRCS := commands/postkick.c
postlock_SRCS := commands/postlock.c
