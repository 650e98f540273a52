# install: programs, manuals and sample configuration below DESTDIR. As root, set-gid modes and groups are set as well.

COMMANDS := $(filter post% qshape sendmail,$(filter-out postlogd postscreen,$(PROGRAMS)))
DAEMONS  := $(filter-out $(COMMANDS) mailq newaliases,$(PROGRAMS))
SETGID   := $(filter postdrop postqueue postlog,$(PROGRAMS))
MANUALS  := $(wildcard */*.[1578] */*/*.[1578] docs/man/*.[1578])

setgid_group ?= postdrop
sbindir   = $(DESTDIR)$(prefix)/sbin
bindir    = $(DESTDIR)$(prefix)/bin
daemondir = $(DESTDIR)$(prefix)/lib/postfix/sbin
mandir    = $(DESTDIR)$(prefix)/share/man
confdir   = $(DESTDIR)$(sysconfdir)/postfix

# postconf(5) comes from the table of parameters.
$(BUILD)/man/postconf.5: conf/manual.awk conf/params.def
	@mkdir -p $(@D)
	@awk -f $^ > $@

install: all $(BUILD)/man/postconf.5
	install -d $(sbindir) $(bindir) $(daemondir) $(confdir)
	for p in $(DAEMONS); do install -m 755 $(BUILD)/bin/$$p $(daemondir)/$$p || exit 1; done
	for p in $(COMMANDS); do install -m 755 $(BUILD)/bin/$$p $(sbindir)/$$p || exit 1; done
	ln -f $(daemondir)/smtp $(daemondir)/lmtp
	ln -sf ../sbin/sendmail $(bindir)/mailq
	ln -sf ../sbin/sendmail $(bindir)/newaliases
	@# Elsewhere than in /usr, the configuration must say where programs are.
	sed 's|^compatibility_level.*|&$(if $(filter-out /usr,$(prefix)),\ncommand_directory = $(prefix)/sbin\ndaemon_directory = $(prefix)/lib/postfix/sbin)|' \
	    conf/main.cf > $(BUILD)/main.cf && cp conf/master.cf $(BUILD)/master.cf
	for f in main.cf master.cf; do \
	    install -m 644 $(BUILD)/$$f $(confdir)/$$f.sample || exit 1; \
	    [ -e $(confdir)/$$f ] || install -m 644 $(BUILD)/$$f $(confdir)/$$f || exit 1; \
	done
	for m in $(MANUALS) $(BUILD)/man/postconf.5; do \
	    install -d $(mandir)/man$${m##*.} && install -m 644 $$m $(mandir)/man$${m##*.}/ || exit 1; \
	done
	if [ "$$(id -u)" = 0 ] && getent group $(setgid_group) >/dev/null; then \
	    for p in $(SETGID); do \
	        chgrp $(setgid_group) $(sbindir)/$$p && chmod 2755 $(sbindir)/$$p || exit 1; \
	    done; \
	fi

.PHONY: install
