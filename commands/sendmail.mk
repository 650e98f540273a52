PROGRAMS += sendmail postdrop
sendmail_SRCS := commands/sendmail.c commands/sendmail_options.c commands/sendmail_message.c commands/sendmail_submit.c
postdrop_SRCS := commands/postdrop.c commands/postdrop_input.c commands/postdrop_access.c
# The traditional other names of sendmail.
programs: $(BUILD)/bin/mailq $(BUILD)/bin/newaliases
$(BUILD)/bin/mailq $(BUILD)/bin/newaliases: $(BUILD)/bin/sendmail
	ln -sf sendmail $@
