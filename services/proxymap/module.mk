LIB_SRCS += services/proxymap/proxymap_access.c
UNIT_TESTS += services/proxymap/proxymap_access_test.c
PROGRAMS += proxymap
proxymap_DIR := daemon
proxymap_SRCS := services/proxymap/proxymap.c
