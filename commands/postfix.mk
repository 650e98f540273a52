PROGRAMS += postfix postlog postkick postlock postmulti
postmulti_SRCS := commands/postmulti.c commands/postmulti_instances.c commands/postmulti_run.c commands/postmulti_edit.c
postfix_SRCS := commands/postfix.c commands/postfix_start.c commands/postfix_check.c commands/postfix_config.c commands/postfix_drain.c commands/postfix_staging.c commands/postfix_logrotate.c
postlog_SRCS := commands/postlog.c
postkick_SRCS := commands/postkick.c
postlock_SRCS := commands/postlock.c
