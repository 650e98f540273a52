# SPDX-License-Identifier: ISC
"""Bounded waits and ports."""
import os
import random
import socket
import time


class WaitTimeout(AssertionError):
    """Something a test waited for did not happen in time."""


def wait_until(condition, timeout=20.0, what="condition", interval=0.02):
    """Calls condition until it returns something true, which is returned; raises WaitTimeout after timeout seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise WaitTimeout(f"waited {timeout:g} s in vain for: {text}")
        time.sleep(interval)


_given_ports = set()
WORKERS_MAX = 16


def free_port(host="127.0.0.1"):
    """A TCP port that is free now and was not given out before in this run. It is below the ephemeral range's usual start, so
    that no socket bound to port 0 and no client takes it before the server that it is meant for does. Test processes that run
    side by side have ranges of their own: each takes every sixteenth port."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS_MAX
    for _ in range(200):
        port = random.randrange(10240, 32000 - WORKERS_MAX, WORKERS_MAX) + worker
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port
    raise WaitTimeout("no free port found")


def is_listening(port, host="127.0.0.1"):
    """Whether somebody listens on host:port, found without connecting (a connection would leave traces in logs)."""
    packed = socket.inet_aton(host)
    wanted = {f"{packed[::-1].hex().upper()}:{port:04X}", f"00000000:{port:04X}"}
    try:
        with open("/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if len(fields) > 3 and fields[3] == "0A" and fields[1] in wanted:
                    return True
        return False
    except FileNotFoundError:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((host, port)) == 0
