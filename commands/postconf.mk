PROGRAMS += postconf
postconf_SRCS := commands/postconf.c commands/postconf_options.c commands/postconf_fixed.c commands/postconf_names.c \
    commands/postconf_print.c commands/postconf_master.c commands/postconf_file.c
LIB_SRCS += commands/postconf_edit.c commands/postconf_edit_master.c commands/postconf_row.c commands/lint_report.c commands/lint_relay.c
UNIT_TESTS += commands/postconf_test.c
FUZZERS += tests/fuzz/postconf_edit_fuzz.c tests/fuzz/postconf_rows_fuzz.c
