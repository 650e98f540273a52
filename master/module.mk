PROGRAMS += master
master_SRCS := $(filter-out %_test.c,$(wildcard master/*.c))

# A daemon for the tests of master; not installed.
$(BUILD)/test/probe: $(BUILD)/tests/probe/probe.o $(BUILD)/libdromos.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
programs: $(BUILD)/test/probe
