# packaging: what a machine needs, and an instance to try.

deps:
	@bash packaging/deps.sh

# Builds, starts an instance under ./run and shows a first message delivered and one relayed.
run:
	@bash packaging/run.sh start

stop:
	@bash packaging/run.sh stop

.PHONY: deps run stop
