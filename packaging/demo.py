# SPDX-License-Identifier: ISC
"""The instance that `make run` leaves running under ./run, with a sink that plays another server.

    demo.py start    writes the configuration, starts both, sends a message to a Maildir and one to the sink
    demo.py stop     ends both
    demo.py sink     (internal) the sink's own process
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
PORT = int(os.environ.get("DROMOS_RUN_PORT", "2525"))
SINK_PORT = int(os.environ.get("DROMOS_RUN_SINK_PORT", "2526"))
USERS = ("alice", "bob")


def make_instance():
    mail = RUN / "mail"
    system = Instance(RUN, main={"relayhost": f"[127.0.0.1]:{SINK_PORT}", "myhostname": "dromos.test.example",
                                 **virtual_parameters(mail, *USERS)})
    system.port = PORT
    system.inet_row = f"127.0.0.1:{PORT} inet n - n - - smtpd"
    system.write()
    return system


def port_is_taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


def run_sink():
    """Writes each message that comes to run/sink/N.eml."""
    folder = RUN / "sink"
    folder.mkdir(exist_ok=True)
    (RUN / "sink.pid").write_text(str(os.getpid()))
    sink = Sink(port=SINK_PORT)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    written = 0
    while True:
        while written < len(sink.messages):
            message = sink.messages[written]
            written += 1
            head = f"envelope: from <{message.sender}> to {', '.join(message.recipients)}\r\n".encode()
            (folder / f"{written}.part").write_bytes(head + message.data)
            (folder / f"{written}.part").rename(folder / f"{written}.eml")
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


def start():
    for port, name in ((PORT, "DROMOS_RUN_PORT"), (SINK_PORT, "DROMOS_RUN_SINK_PORT")):
        if port_is_taken(port):
            print(f"port {port} is in use; run `make stop`, or choose another with {name}=N make run", file=sys.stderr)
            return 1
    system = make_instance()
    before = len(system.maildir_messages(RUN / "mail" / "alice"))
    with open(RUN / "sink.log", "ab") as log:
        subprocess.Popen([sys.executable, __file__, "sink"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)
    wait_until(lambda: is_listening(SINK_PORT), 10, "the sink to listen")
    sunk = len(list((RUN / "sink").glob("*.eml")))
    subprocess.run([system.program("postfix"), "-c", system.config_directory, "start"], env=system.env(), check=True,
                   stdin=subprocess.DEVNULL, timeout=60)
    wait_until(lambda: is_listening(PORT), 20, lambda: f"port {PORT}; log:\n{system.log.text()[-3000:]}")
    smtp_send(PORT, "you@client.example", "alice@virt.example", subject="First message", body="It works.\n")
    messages = system.wait_maildir(RUN / "mail" / "alice", before + 1)
    newest = max((RUN / "mail" / "alice" / "new").iterdir(), key=lambda path: path.stat().st_mtime)
    show("delivered to a Maildir", newest, messages[-1] if len(messages) == 1 else newest.read_bytes())
    smtp_send(PORT, "you@client.example", "someone@elsewhere.example", subject="Onward", body="Relayed.\n")
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
Running: SMTP on 127.0.0.1:{PORT}; mail for {' and '.join(user + '@virt.example' for user in USERS)} goes to run/mail,
everything else to a sink on port {SINK_PORT} that writes run/sink. Log: run/log/mail.log. Configuration: run/etc.

  send more:   swaks --server 127.0.0.1 --port {PORT} --from you@client.example --to alice@virt.example
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
        run_sink()
    else:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
