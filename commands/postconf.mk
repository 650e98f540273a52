PROGRAMS += postconf
postconf_SRCS := commands/postconf.c commands/postconf_names.c commands/postconf_print.c commands/postconf_master.c
LIB_SRCS += commands/postconf_edit.c
UNIT_TESTS += commands/postconf_test.c
FUZZERS += tests/fuzz/postconf_edit_fuzz.c
