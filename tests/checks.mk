# checks: what can be said of the tree without running it. `make check` runs the scripts, too.

# Includes point only downward.
layers:
	@/usr/bin/python3 tests/check_layers.py

# Bounds on functions, files and parameters.
sizes:
	@/usr/bin/python3 tests/check_sizes.py

# That the check for suspension finds what it should: files that break a rule must not compile.
check-tsa:
	@bash tests/check_tsa.sh

tsa: check-tsa

.PHONY: layers sizes check-tsa
