LIB_SRCS += lib/table/table.c lib/table/table_watch.c lib/table/table_lmdb.c lib/table/table_index.c lib/table/table_texthash.c \
    lib/table/table_memory.c lib/table/table_simple.c lib/table/table_compound.c lib/table/table_unix.c lib/table/table_cidr.c \
    lib/table/table_cidr_index.c \
    lib/table/table_lines.c lib/table/table_text.c lib/table/table_list.c lib/table/table_address.c lib/table/match_list.c \
    lib/table/table_writer.c lib/table/table_pattern.c lib/table/table_pattern_match.c lib/table/table_pcre.c lib/table/table_regexp.c \
    lib/table/table_regexp_perl.c lib/table/table_peer.c lib/table/table_tcp.c lib/table/table_socketmap.c
UNIT_TESTS += lib/table/table_test.c lib/table/match_list_test.c lib/table/table_pattern_test.c
FUZZERS += tests/fuzz/table_text_fuzz.c tests/fuzz/table_cidr_fuzz.c tests/fuzz/match_list_fuzz.c
