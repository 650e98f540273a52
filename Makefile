# Dromos: one Makefile for the whole tree; each folder adds its part in module.mk.
# Targets: all (default), check, test, asan, ubsan, tsa, fuzz, bench, run, stop, install, deps, clean.

BUILD   ?= build
CC      ?= cc
prefix  ?= /usr
sysconfdir ?= /etc
DESTDIR ?=
VERSION := 0.1.0

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings \
        -Wundef -Wvla -Walloca -Wframe-larger-than=4096 -Wformat=2 -Wno-unused-parameter -Wno-unknown-warning-option
SAN     ?=
OPT     ?= -O2
CFLAGS  ?= -g
ALL_CFLAGS = -std=gnu17 $(OPT) $(CFLAGS) $(WARN) -fno-omit-frame-pointer -fno-strict-aliasing -fstack-protector-strong \
        -D_GNU_SOURCE -DDROMOS_VERSION='"$(VERSION)"' -DDROMOS_SYSCONFDIR='"$(sysconfdir)"' -DDROMOS_PREFIX='"$(prefix)"' \
        -I. $(SAN) -MMD -MP -pthread
ALL_LDFLAGS = $(LDFLAGS) $(SAN) -pthread
LIBS := -levent_core -lcares -lidn2 -lseccomp -llmdb -lpcre2-8 -lssl -lcrypto

# A module.mk appends to these:
#   LIB_SRCS        sources of the one static library libdromos.a
#   PROGRAMS        names of programs; NAME_SRCS gives the sources of each, NAME_DIR is daemon or command
#   UNIT_TESTS      files lib/x/y_test.c, each a Check program
#   FUZZERS         files tests/fuzz/x_fuzz.c
LIB_SRCS   :=
PROGRAMS   :=
UNIT_TESTS :=
FUZZERS    :=

MODULES := $(wildcard lib/*/module.mk master/module.mk smtpd/module.mk cleanup/module.mk qmgr/module.mk smtp/module.mk \
        local/module.mk pickup/module.mk services/*/module.mk services/module.mk commands/*.mk \
        conf/module.mk tests/fuzz/module.mk)

all: programs

include $(MODULES)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB := $(BUILD)/libdromos.a

$(LIB): $(call obj,$(LIB_SRCS))
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -c -o $@ $<

define program_rule
$(BUILD)/bin/$(1): $(call obj,$($(1)_SRCS)) $(LIB)
	@mkdir -p $$(@D)
	@echo "  LINK  $$@"
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program_rule,$(p))))

define unit_rule
$(BUILD)/unit/$(notdir $(basename $(1))): $(call obj,$(1)) $(LIB)
	@mkdir -p $$(@D)
	@$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS) -lcheck -lsubunit -lrt -lm
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_rule,$(t))))

UNIT_BINS := $(foreach t,$(UNIT_TESTS),$(BUILD)/unit/$(notdir $(basename $(t))))

programs: $(addprefix $(BUILD)/bin/,$(PROGRAMS))
unit-bins: $(UNIT_BINS)

-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)

include tests/module.mk
include tests/checks.mk
include packaging/module.mk
include packaging/install.mk
include bench/module.mk

clean:
	rm -rf build build-*

.PHONY: all programs unit-bins clean
