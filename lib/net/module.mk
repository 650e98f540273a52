LIB_SRCS += lib/net/net_addr.c lib/net/net_cidr.c lib/net/net_interfaces.c lib/net/net_listen.c lib/net/stream.c \
        lib/net/dns.c lib/net/dns_answer.c lib/net/dns_hosts.c lib/net/dns_records.c lib/net/proxy_protocol.c
LIB_SRCS += $(filter-out %_test.c,$(wildcard lib/net/tls_*.c))
UNIT_TESTS += lib/net/net_test.c lib/net/stream_test.c lib/net/dns_test.c lib/net/tls_test.c lib/net/proxy_protocol_test.c
FUZZERS += tests/fuzz/dns_fuzz.c tests/fuzz/proxy_protocol_fuzz.c
