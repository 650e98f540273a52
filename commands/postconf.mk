PROGRAMS += postconf
postconf_SRCS := commands/postconf.c commands/postconf_names.c commands/postconf_print.c commands/postconf_master.c \
                 commands/postconf_edit.c
