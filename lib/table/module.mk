LIB_SRCS += lib/table/table.c lib/table/table_watch.c lib/table/table_lmdb.c lib/table/table_index.c lib/table/table_texthash.c \
    lib/table/table_memory.c lib/table/table_simple.c lib/table/table_compound.c lib/table/table_unix.c lib/table/table_cidr.c \
    lib/table/table_cidr_index.c \
    lib/table/table_lines.c lib/table/table_text.c lib/table/table_list.c lib/table/table_address.c lib/table/match_list.c \
    lib/table/table_writer.c lib/table/table_pattern.c lib/table/table_pattern_match.c lib/table/table_pcre.c lib/table/table_regexp.c \
    lib/table/table_regexp_perl.c lib/table/table_peer.c lib/table/table_tcp.c lib/table/table_socketmap.c \
    lib/table/table_types.c lib/table/table_proxy.c lib/table/table_config.c lib/table/table_source.c lib/table/table_client.c \
    lib/table/table_memcache.c lib/table/table_backends.c lib/table/table_cache.c lib/table/table_update.c
UNIT_TESTS += lib/table/table_test.c lib/table/match_list_test.c lib/table/table_pattern_test.c lib/table/table_peer_test.c
FUZZERS += tests/fuzz/table_text_fuzz.c tests/fuzz/table_cidr_fuzz.c tests/fuzz/match_list_fuzz.c tests/fuzz/table_pattern_fuzz.c tests/fuzz/table_reply_fuzz.c tests/fuzz/table_template_fuzz.c tests/fuzz/table_config_fuzz.c

# Types that need a library of their own are built when it is there. Their libraries are linked by the programs that use them.
LIBS += -Wl,--as-needed
table_has = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)
# $(1) name in capitals, $(2) pkg-config packages, $(3) sources
define table_backend
ifeq ($(call table_has,$(2)),yes)
LIB_SRCS += $(3)
LIBS += $(shell pkg-config --libs $(2))
TABLE_DEFINES += -DTABLE_HAS_$(1)
$(patsubst %.c,$(BUILD)/%.o,$(3)): ALL_CFLAGS += $(shell pkg-config --cflags $(2))
endif
endef
TABLE_DEFINES :=
$(eval $(call table_backend,CDB,libcdb,lib/table/table_cdb.c lib/table/table_cdb_writer.c))
$(eval $(call table_backend,SQLITE,sqlite3,lib/table/table_sqlite.c))
$(eval $(call table_backend,PGSQL,libpq,lib/table/table_pgsql.c))
$(eval $(call table_backend,MYSQL,libmariadb,lib/table/table_mysql.c))
$(eval $(call table_backend,REDIS,hiredis,lib/table/table_redis.c))
$(eval $(call table_backend,LDAP,ldap lber,lib/table/table_ldap.c lib/table/table_ldap_query.c))
$(BUILD)/lib/table/table_types.o $(BUILD)/lib/table/table_backends.o $(BUILD)/lib/table/table_writer.o \
    $(BUILD)/lib/table/table_cdb_writer.o $(BUILD)/lib/table/table_cdb.o $(BUILD)/lib/table/table_index.o: ALL_CFLAGS += $(TABLE_DEFINES)
