LIB_SRCS += services/tlsmgr/tlsmgr_store.c services/tlsmgr/tlsmgr_reader.c services/tlsmgr/tlsmgr_pem.c
UNIT_TESTS += services/tlsmgr/tlsmgr_test.c
FUZZERS += tests/fuzz/tls_pem_fuzz.c
PROGRAMS += tlsmgr
tlsmgr_DIR := daemon
tlsmgr_SRCS := services/tlsmgr/tlsmgr.c services/tlsmgr/tlsmgr_names.c services/tlsmgr/tlsmgr_files.c services/tlsmgr/tlsmgr_tickets.c \
        services/tlsmgr/tlsmgr_cache.c
