#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
# run.sh: an instance to try below ./run: `run.sh start` builds and shows it, `run.sh stop` ends it.
#
# Started by root it drops privileges as an installed system would; by anybody else everything runs as that user.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-start}" in
start)
    bash packaging/deps.sh build
    make --no-print-directory -j"$(nproc)" programs
    exec /usr/bin/python3 packaging/demo.py start
    ;;
stop)
    exec /usr/bin/python3 packaging/demo.py stop
    ;;
*)
    echo "usage: run.sh start|stop" >&2
    exit 64
    ;;
esac
