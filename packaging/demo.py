# SPDX-License-Identifier: ISC
"""The instance that `make run` leaves running under ./run, with a sink that plays another server.

    demo.py start    writes the configuration, starts both, sends a message to a Maildir and one to the sink
    demo.py stop     ends both
    demo.py sink N   (internal) the sink's own process
"""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests"))

from harness import Instance, Sink, is_listening, smtp_send, virtual_parameters, wait_until  # noqa: E402

RUN = TOP / "run"
FIRST_PORT = int(os.environ.get("DROMOS_RUN_PORT", "2525"))
USERS = ("alice", "bob")


def make_instance(port, sink_port):
    system = Instance(RUN, main={"relayhost": f"[127.0.0.1]:{sink_port}", "myhostname": "dromos.test.example",
                                 **virtual_parameters(RUN / "mail", *USERS)})
    system.port = port
    system.inet_row = f"127.0.0.1:{port} inet n - n - - smtpd"
    system.write()
    return system


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def run_sink(port):
    """Writes each message that comes to run/sink/N.eml."""
    folder = RUN / "sink"
    folder.mkdir(exist_ok=True)
    (RUN / "sink.pid").write_text(str(os.getpid()))
    sink = Sink(port=port)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    written = 0
    number = max((int(path.stem) for path in folder.glob("*.eml")), default=0)
    while True:
        while written < len(sink.messages):
            message = sink.messages[written]
            written += 1
            number += 1
            head = f"envelope: from <{message.sender}> to {', '.join(message.recipients)}\r\n".encode()
            (folder / f"{number}.part").write_bytes(head + message.data)
            (folder / f"{number}.part").rename(folder / f"{number}.eml")
        time.sleep(0.1)


def process_is(pid, word):
    try:
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def stop():
    stopped = False
    for name, word in (("queue/pid/master.pid", "master"), ("sink.pid", "demo.py")):
        try:
            pid = int((RUN / name).read_text().strip())
        except (OSError, ValueError):
            continue
        if process_is(pid, word):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda p=pid, w=word: not process_is(p, w), 15, f"process {pid} to end")
            stopped = True
    print("stopped" if stopped else "nothing was running")


def show(title, path, data):
    print(f"\n--- {title}: {path.relative_to(TOP)}")
    print(data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip())


def is_running():
    try:
        return process_is(int((RUN / "queue/pid/master.pid").read_text().strip()), "master")
    except (OSError, ValueError):
        return False


def start():
    if is_running():
        print("it runs already; `make stop` ends it", file=sys.stderr)
        return 1
    free = [port for port in range(FIRST_PORT, FIRST_PORT + 100) if port_is_free(port)]
    if len(free) < 2:
        print(f"no free ports from {FIRST_PORT} on; choose others with DROMOS_RUN_PORT=N make run", file=sys.stderr)
        return 1
    port, sink_port = free[:2]
    system = make_instance(port, sink_port)
    before = len(system.maildir_messages_names(RUN / "mail" / "alice"))
    with open(RUN / "sink.log", "ab") as log:
        subprocess.Popen([sys.executable, __file__, "sink", str(sink_port)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)
    wait_until(lambda: is_listening(sink_port), 10, "the sink to listen")
    sunk = len(list((RUN / "sink").glob("*.eml")))
    subprocess.run([system.program("postfix"), "-c", system.config_directory, "start"], env=system.env(), check=True,
                   stdin=subprocess.DEVNULL, timeout=60)
    wait_until(lambda: is_listening(port), 20, lambda: f"port {port}; log:\n{system.log.text()[-3000:]}")
    smtp_send(port, "you@client.example", "alice@virt.example", subject="First message", body="It works.\n")
    system.wait_maildir(RUN / "mail" / "alice", before + 1)
    newest = max((RUN / "mail" / "alice" / "new").iterdir(), key=lambda path: path.stat().st_mtime)
    show("delivered to a Maildir", newest, newest.read_bytes())
    smtp_send(port, "you@client.example", "someone@elsewhere.example", subject="Onward", body="Relayed.\n")
    wait_until(lambda: len(list((RUN / "sink").glob("*.eml"))) > sunk, 20,
               lambda: f"the message at the sink; log:\n{system.log.text()[-3000:]}")
    relayed = max((RUN / "sink").glob("*.eml"), key=lambda path: path.stat().st_mtime)
    show("relayed to the sink", relayed, relayed.read_bytes())
    bin_directory = system.flavour.command_directory
    try:
        bin_directory = bin_directory.relative_to(TOP)
    except ValueError:
        pass
    print(f"""
Running: SMTP on 127.0.0.1:{port}; mail for {' and '.join(user + '@virt.example' for user in USERS)} goes to run/mail,
everything else to a sink on port {sink_port} that writes run/sink. Log: run/log/mail.log. Configuration: run/etc.

  send more:   swaks --server 127.0.0.1 --port {port} --from you@client.example --to alice@virt.example
               MAIL_CONFIG=$PWD/run/etc {bin_directory}/sendmail someone@elsewhere.example < message
  look:        {bin_directory}/postqueue -c $PWD/run/etc -p
  stop:        make stop""")
    return 0


if __name__ == "__main__":
    action = sys.argv[1] if len(sys.argv) > 1 else ""
    if action == "start":
        sys.exit(start())
    elif action == "stop":
        stop()
    elif action == "sink":
        run_sink(int(sys.argv[2]))
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
