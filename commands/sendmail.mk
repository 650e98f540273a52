PROGRAMS += sendmail postdrop
sendmail_SRCS := commands/sendmail.c commands/sendmail_submit.c
postdrop_SRCS := commands/postdrop.c commands/postdrop_access.c
# What parses is in the library, for its tests and fuzz targets.
LIB_SRCS += commands/sendmail_options.c commands/sendmail_message.c commands/postdrop_input.c
UNIT_TESTS += commands/sendmail_test.c commands/postdrop_test.c
FUZZERS += tests/fuzz/sendmail_fuzz.c tests/fuzz/postdrop_fuzz.c
# The traditional other names of sendmail.
programs: $(BUILD)/bin/mailq $(BUILD)/bin/newaliases
$(BUILD)/bin/mailq $(BUILD)/bin/newaliases: $(BUILD)/bin/sendmail
	ln -sf sendmail $@
