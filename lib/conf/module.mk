LIB_SRCS += lib/conf/params.c lib/conf/lines.c lib/conf/main_cf.c lib/conf/expand.c lib/conf/runtime.c \
            lib/conf/values.c lib/conf/settings.c lib/conf/dir.c lib/conf/drain.c lib/conf/master_cf.c \
            lib/conf/lint.c lib/conf/lint_names.c lib/conf/lint_compat.c lib/conf/lint_tables.c lib/conf/lint_services.c lib/conf/lint_access.c
UNIT_TESTS += lib/conf/conf_test.c lib/conf/master_cf_test.c lib/conf/lint_test.c
FUZZERS += tests/fuzz/main_cf_fuzz.c tests/fuzz/master_cf_fuzz.c tests/fuzz/expand_fuzz.c tests/fuzz/lint_fuzz.c
