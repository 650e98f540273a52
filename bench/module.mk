# bench: measurements against Debian's Postfix on this machine. BENCH_ARGS adds options (--quick, --only NAME).

BENCH_ARGS ?=

$(BUILD)/bench/sessions: $(call obj,bench/sessions.c)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^

$(BUILD)/bench/tls_sessions: $(call obj,bench/tls_sessions.c)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto

bench: programs $(BUILD)/bench/tls_sessions $(BUILD)/bench/sessions
	@/usr/bin/python3 bench/bench.py $(BENCH_ARGS)

# Round trips of coroutines, without mail.
$(BUILD)/bench/co_bench: $(call obj,bench/co_bench.c) $(LIB)
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

co-bench: $(BUILD)/bench/co_bench
	@$<

.PHONY: bench co-bench
