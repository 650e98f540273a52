# SPDX-License-Identifier: ISC
"""Workloads of TLS: new sessions in full and resumed, idle sessions, relay with TLS on both sides."""
import contextlib
import subprocess
import time

from suites import TOP  # first: it makes the harness importable
from measure import apart, cpu_seconds, pss_kib
from harness import Instance, free_port, is_listening, wait_until
from harness.certificates import Identity

RUN_TIMEOUT = 900
PROGRAM = TOP / "build" / "bench" / "tls_sessions"


def _run(suite, *arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=RUN_TIMEOUT, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{suite.name}: {result.stderr}")
    return float(result.stdout)


@contextlib.contextmanager
def _secured(suite, **more):
    """An instance of the suite's kind whose SMTP server has an RSA certificate of 2048 bits, and that certificate."""
    folder = suite.folder / "tls"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    identity = Identity(folder, "mx.test.example", "rsa")
    rows = ["tlsproxy unix - - n - 0 tlsproxy"] if suite.instance.flavour.is_postfix else []  # it keeps its connections there
    one = Instance(folder, flavour=suite.instance.flavour, inet_row="", rows=rows, main={
        "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": identity.cert, "smtpd_tls_key_file": identity.key, **more})
    one.inet_row = f"127.0.0.1:{one.port} inet n - n - 6000 smtpd"
    one.write()
    one.start()
    try:
        _run(suite, "rate", one.port, 4, 8, "full")  # everything is running
        yield one, identity
    finally:
        one.stop()
        one.remove()


def sessions(suite, count, mode):
    """New sessions per second, 20 at once; suite.notes has the processor time of the suite for one."""
    with _secured(suite) as (one, _):
        cpu = cpu_seconds(one)
        rate = _run(suite, "rate", one.port, 20, count, mode)
        suite.notes = [f"{(cpu_seconds(one) - cpu) / count * 1000:.2f} ms of CPU a session"]
        return rate


def sessions_apart(suite, count, mode):
    """The same, the suite on a processor of its own."""
    with _secured(suite) as (one, _), apart(one):
        return _run(suite, "rate", one.port, 20, count, mode)


def session_cpu(suite, count, mode):
    """Milliseconds of processor time of all the suite's processes for a new session."""
    with _secured(suite) as (one, _):
        cpu = cpu_seconds(one)
        _run(suite, "rate", one.port, 20, count, mode)
        return (cpu_seconds(one) - cpu) / count * 1000


def idle_memory(suite, count):
    """KiB of all processes for a session that is idle after STARTTLS and EHLO."""
    with _secured(suite) as (one, _):
        before = pss_kib(one)
        with subprocess.Popen([PROGRAM, "hold", str(one.port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as held:
            if not held.stdout.readline().startswith("held"):
                raise RuntimeError("the sessions were not taken")
            time.sleep(1)
            after = pss_kib(one)
            held.stdin.close()
            held.wait(30)
        return (after - before) / count


def relay(suite, messages):
    """Messages per second through 20 kept sessions, TLS from the client and to the next hop."""
    port = free_port()
    with _secured(suite, relayhost=f"[127.0.0.1]:{port}", smtp_tls_security_level="encrypt",
                  smtp_tls_connection_reuse="yes") as (one, identity):
        with subprocess.Popen([PROGRAM, "sink", str(port), identity.cert, identity.key]) as sink:
            try:
                wait_until(lambda: is_listening(port), 10, "the next hop to listen")
                start = time.monotonic()
                _run(suite, "send", one.port, 20, messages, 4096)
                wait_until(lambda: not any(one.queue_ids("maildrop", "incoming", "active")), RUN_TIMEOUT, "the queue to drain", 0.02)
                elapsed = time.monotonic() - start
            finally:
                sink.terminate()
        if one.queue_ids("deferred"):
            raise RuntimeError(f"{suite.name}: messages were deferred; {one.log.text()[-2000:]}")
        return messages / elapsed
