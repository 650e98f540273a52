LIB_SRCS += lib/route/route.c lib/route/route_class.c lib/route/route_resolve.c lib/route/route_rewrite.c lib/route/route_recipient.c \
    lib/route/route_map.c lib/route/route_probe.c lib/route/route_transport.c
UNIT_TESTS += lib/route/route_test.c
FUZZERS += tests/fuzz/transport_fuzz.c
