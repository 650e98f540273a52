LIB_SRCS += lib/tlspolicy/tls_policy.c lib/tlspolicy/tls_dane.c lib/tlspolicy/mta_sts.c lib/tlspolicy/mta_sts_client.c
UNIT_TESTS += lib/tlspolicy/tls_policy_test.c lib/tlspolicy/mta_sts_test.c
FUZZERS += tests/fuzz/tls_policy_fuzz.c tests/fuzz/mta_sts_fuzz.c
