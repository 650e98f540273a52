# SPDX-License-Identifier: ISC
"""postconf: the same answers as Debian's Postfix gives, and what only ours has."""
import json
from concurrent.futures import ThreadPoolExecutor
import os
import subprocess
from pathlib import Path

import pytest

from harness.comparison import read_allowed, read_cases, run, unexplained
from harness.debian import debian_commands

DATA = Path(__file__).resolve().parent / "data" / "postconf"
CASES = list(read_cases(DATA / "cases.txt"))


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be downloaded")
    return found


@pytest.fixture(scope="module")
def postconf(flavour):
    if flavour.is_postfix:
        pytest.skip("states something of ours")
    return flavour.command_directory / "postconf"


def make_configuration(folder, name):
    folder.mkdir(exist_ok=True)
    for kind in ("main", "master"):
        (folder / f"{kind}.cf").write_bytes((DATA / f"{name}.{kind}.cf").read_bytes())
    return folder


def outcome(program, arguments, folder, environment=None):
    found = run(program, arguments if "-c /" in arguments else f"-c {folder} {arguments}", folder, environment)
    found.files = {kind: (folder / f"{kind}.cf").read_text().splitlines() for kind in ("main", "master")}
    found.messages = sorted({line for line in found.messages if not line.startswith("invalid option")})
    return found


def test_as_debian(debian, postconf, tmp_path):
    """Every line of cases.txt; allowed.tsv holds what may differ and why."""
    rules = read_allowed(DATA / "allowed.tsv")

    def compare(case):
        number, name, arguments = case
        folder = tmp_path / str(number)
        theirs = outcome(debian.commands / "postconf", arguments, make_configuration(folder, name), debian.environment())
        ours = outcome(postconf, arguments, make_configuration(folder, name))
        return [f"line {number}: {name} | {arguments}: {what}\n  debian: {getattr(theirs, what)}\n"
                f"  ours:   {getattr(ours, what)}"
                for what in unexplained(f"{name} | {arguments}", theirs, ours, rules)]

    with ThreadPoolExecutor(24) as pool:  # Debian's programs sleep for a second before a fatal error
        failures = [text for found in pool.map(compare, CASES) for text in found]
    assert not failures, f"{len(failures)} differences in {len(CASES)} cases\n" + "\n".join(failures)


def answer(postconf, folder, *arguments):
    return subprocess.run([postconf, "-c", folder, *arguments], capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.dromos
def test_drop_ins_and_origin(postconf, tmp_path):
    folder = make_configuration(tmp_path / "c", "plain")
    drop_ins = folder / "main.cf.d"
    drop_ins.mkdir()
    (drop_ins / "20-b.cf").write_text("mydomain = second.example\n")
    (drop_ins / "10-a.cf").write_text("# first\nmydomain = first.example\nrelayhost = [gw]\n")
    (drop_ins / "ignored.txt").write_text("mydomain = third.example\n")
    assert answer(postconf, folder, "-hx", "myorigin", "relayhost").stdout == "second.example\n[gw]\n"
    shown = answer(postconf, folder, "--origin", "mydomain", "relayhost", "myhostname", "mail_name").stdout.splitlines()
    assert [line.split("\t")[1] for line in shown] == [f"{drop_ins}/20-b.cf:1", f"{drop_ins}/10-a.cf:3",
                                                       f"{folder}/main.cf:3", "default"]


@pytest.mark.dromos
def test_lint(postconf, tmp_path):
    folder = make_configuration(tmp_path / "c", "plain")
    (folder / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = a.example\nmynetworks = 0.0.0.0/0\nmydestinatoin = a\n")
    result = answer(postconf, folder, "--lint", "-j")
    found = {item["code"]: item for item in map(json.loads, result.stdout.splitlines())}
    assert result.returncode == 2
    assert found["open-relay"]["line"] == 3 and found["open-relay"]["level"] == "error"
    assert found["unknown-name"]["line"] == 4 and "mydestination?" in found["unknown-name"]["text"]
    (folder / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = a.example\nmynetworks = 127.0.0.0/8\n")
    assert answer(postconf, folder, "--lint").returncode == 0


OPEN_RELAYS = [
    # main.cf, the -o option of an SMTP service, the line of the finding (0: in master.cf), a word of it
    ("mynetworks = 127.0.0.1 [::]/0", "", 3, "mynetworks"),
    ("mynetworks = 200.0.0.0/6 203.0.0.0/8", "", 3, "203.0.113.77"),
    ("mynetworks = static:all", "", 3, "mynetworks"),
    ("mynetworks = cidr:{{0.0.0.0/0 x}}", "", 3, "mynetworks"),
    ("relay_domains = static:ok", "", 3, "relay_domains"),
    ("mydestination = static:ok", "", 3, "mydestination"),
    ("smtpd_relay_restrictions = check_client_access cidr:{{0.0.0.0/0 OK}}, reject", "", 3, "check_client_access"),
    ("smtpd_relay_restrictions = check_recipient_access static:OK, reject", "", 3, "check_recipient_access"),
    ("smtpd_restriction_classes = c\nc = check_recipient_access inline:{invalid=OK}\nsmtpd_relay_restrictions = c, reject", "", 5, "check_recipient_access"),
    ("x = y", "mynetworks=0.0.0.0/0", 0, "mynetworks"),
    ("x = y", "smtpd_relay_restrictions=check_client_access,static:permit,reject", 0, "check_client_access"),
]
CLOSED = [
    ("mynetworks = !0.0.0.0/0 10.0.0.0/8", ""),
    ("smtpd_relay_restrictions = check_sender_access static:OK, reject", ""),
    ("smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination\nsmtpd_recipient_restrictions = permit", ""),
    ("smtpd_relay_restrictions = check_helo_access static:OK, permit_sasl_authenticated, reject", "smtpd_relay_restrictions=permit_sasl_authenticated,reject"),
]


def lint_findings(postconf, folder, main, option):
    make_configuration(folder, "plain")
    (folder / "main.cf").write_text(f"compatibility_level = 3.6\nmyhostname = a.example\n{main}\n")
    with open(folder / "master.cf", "a", encoding="ascii") as rows:
        rows.write(f"2525 inet n - n - - smtpd -o {option}\n" if option else "")
    return list(map(json.loads, answer(postconf, folder, "--lint", "-j").stdout.splitlines()))


@pytest.mark.dromos
@pytest.mark.parametrize("main, option, line, word", OPEN_RELAYS)
def test_lint_proves_open_relays(postconf, tmp_path, main, option, line, word):
    found = [one for one in lint_findings(postconf, tmp_path / "c", main, option) if one["code"] == "open-relay"]
    assert len(found) == 1 and word in found[0]["text"], found
    assert found[0]["line"] == line if line else found[0]["file"].endswith("master.cf")


@pytest.mark.dromos
@pytest.mark.parametrize("main, option", CLOSED)
def test_lint_accuses_nobody_wrongly(postconf, tmp_path, main, option):
    assert [one for one in lint_findings(postconf, tmp_path / "c", main, option) if one["code"] in ("open-relay", "bad-restriction")] == []


@pytest.mark.dromos
def test_lint_finds_a_server_that_does_not_start(postconf, tmp_path):
    found = [one["text"] for one in lint_findings(postconf, tmp_path / "c", "smtpd_relay_restrictions = permit_mynetworks", "")]
    assert any("does not start" in text and "reject_unauth_destination" in text for text in found)


@pytest.mark.dromos
def test_edit_keeps_mode(postconf, tmp_path):
    folder = make_configuration(tmp_path / "c", "plain")
    for name, arguments in (("main.cf", ["-e", "mydomain=x"]), ("master.cf", ["-MX", "lmtp/unix"])):
        os.chmod(folder / name, 0o640)
        assert answer(postconf, folder, *arguments).returncode == 0
        assert (folder / name).stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ["main.cf", "master.cf"]
