# SPDX-License-Identifier: ISC
"""postsim: the server's decisions without the server; its answers are those of a running one."""
import json
import re

import pytest

from harness import Dialogue

pytestmark = pytest.mark.dromos

MAIN = {
    "mynetworks": "127.0.0.2/32",
    "local_recipient_maps": "inline:{ known=x }",
    "relay_domains": "relay.example",
    "smtpd_client_restrictions": "check_client_access inline:{{10.0.0=REJECT bad net} {10.0.1=DEFER} {10.0.2=HOLD look}}",
    "smtpd_helo_restrictions": "reject_invalid_helo_hostname",
    "smtpd_sender_restrictions": "inline:{{spam.example=550 5.7.9 no spam}}",
    "smtpd_recipient_restrictions": "reject_non_fqdn_recipient, check_policy_service unix:private/nobody",
    "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    "smtpd_policy_service_default_action": "DUNNO",
}

# arguments, exit status, what the output has
CASES = [
    ("--client 192.0.2.1 --from a@b.example --to known@test.example", 0, r"^accepted$"),
    ("--client 192.0.2.1 --from a@b.example --to nobody@test.example", 1, r"^RCPT <nobody@test.example>: 550 5.1.1 .*User unknown"),
    ("--client 192.0.2.1 --from a@b.example --to x@far.example", 1, r"554 5.7.1 <x@far.example>: Relay access denied"),
    ("--client 127.0.0.2 --from a@b.example --to x@far.example", 0, r"smtpd_relay_restrictions\[1\] permit_mynetworks: permit"),
    ("--client 192.0.2.1 --sasl-user joe --from a@b.example --to x@far.example", 0, r"permit_sasl_authenticated: permit"),
    ("--client 10.0.0.1 --from a@b.example --to known@test.example", 1, r"decided by smtpd_client_restrictions\[1\] check_client_access .* key=10.0.0$"),
    ("--client 10.0.1.1 --from a@b.example --to known@test.example", 2, r"^refused for now$"),
    ("--client 10.0.2.1 --from a@b.example --to known@test.example", 0, r"^  the message: hold$"),
    ("--client 192.0.2.1 --helo -x --from a@b.example --to known@test.example", 1, r"501 5.5.2 <-x>: Helo command rejected: Invalid name"),
    ("--client 192.0.2.1 --from a@spam.example --to known@test.example", 1, r"550 5.7.9 <a@spam.example>: Sender address rejected: no spam"),
    ("--client 192.0.2.1 --from a@b.example --to known@test.example --to x@far.example", 1, r"^DATA: ok$"),
    ("--client 192.0.2.1 --from a@b.example --to known@test.example", 0, r"^not asked: policy servers"),
    ("--client 192.0.2.1 --from a@b.example --to x@far.example -o smtpd_relay_restrictions=defer", 2, r"450 4.3.2"),
    ("--client 192.0.2.1 --to known@test.example --service submission", 2, r"530|Session encryption|450 4.7.1"),
    ("--client 192.0.2.1 --from -a@b.example --to known@test.example", 1, r"^MAIL: 501 5.1.7 Bad sender address syntax\n  decided by the form of the address$"),
    ("--client nonsense --to known@test.example", 3, r""),
    ("--to known@test.example", 3, r""),
    ("--client 192.0.2.1 --to a@b -o smtpd_relay_restrictions=permit -o smtpd_recipient_restrictions=", 3, r""),
]


@pytest.fixture(scope="module")
def mail(shared_instance):
    rows = ["submission inet n - n - - smtpd -o smtpd_client_restrictions=reject_plaintext_session"]
    return shared_instance(start=False, main=MAIN, rows=rows)


@pytest.mark.parametrize("arguments, status, pattern", CASES)
def test_verdicts(mail, arguments, status, pattern):
    done = mail.run("postsim", "--name", "unknown", *arguments.split(), check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert re.search(pattern, done.stdout, re.MULTILINE), done.stdout
    if status == 3:
        assert "fatal:" in done.stderr


def test_json_names_what_decided(mail):
    done = mail.run("postsim", "--json", "--client", "10.0.0.1", "--name", "unknown", "--helo", "h.example", "--from", 'a"b@c.example', "--to",
                    "known@test.example", check=False)
    outcome = json.loads(done.stdout)
    assert done.returncode == 1 and outcome["outcome"] == "refused" and outcome["sender"] == 'a"b@c.example'
    refused = outcome["stages"][-1]
    assert (refused["stage"], refused["code"], refused["status"]) == ("RCPT", 554, "5.7.1")
    assert refused["steps"][0] == {
        "parameter": "smtpd_client_restrictions", "position": 1, "depth": 0, "result": "reject", "key": "10.0.0",
        "restriction": "check_client_access " + MAIN["smtpd_client_restrictions"].split(" ", 1)[1],
        "table": MAIN["smtpd_client_restrictions"].split(" ", 1)[1], "text": refused["steps"][0]["text"]}


def test_policy_servers_are_asked_on_request_only(mail):
    asked = mail.run("postsim", "--client", "192.0.2.1", "--name", "unknown", "--to", "known@test.example", "--ask-policy",
                     "-o", "smtpd_policy_service_try_limit=1", "-o", "smtpd_policy_service_default_action=DEFER no server", check=False)
    assert asked.returncode == 2 and "no server" in asked.stdout
    quiet = mail.run("postsim", "--client", "192.0.2.1", "--name", "unknown", "--to", "known@test.example", check=False)
    assert quiet.returncode == 0 and "check_policy_service unix:private/nobody: skipped" in quiet.stdout


def test_answers_are_those_of_the_server(instance):
    lists = {**MAIN, "smtpd_recipient_restrictions": "reject_non_fqdn_recipient", "mynetworks": "127.0.0.2/32"}
    mail = instance(main=lists)
    for sender, recipient in (("a@b.example", "known@test.example"), ("a@b.example", "nobody@test.example"), ("a@b.example", "x@far.example"),
                              ("a@spam.example", "known@test.example"), ("", "x"), ("a@b.example", "x%far.example@test.example"),
                              ("a@b.example", "known@[127.0.0.1]"), ("a@b.example", "x@relay.example"), ("-a@b.example", "known@test.example"),
                              ("a@-b.example", "known@test.example"), ("a@b.example", "u@@test.example"), ("a@b.example", "u@192.0.2.1"),
                              ("a@b.example", "u%@test.example"), ("a@b.example", "-known@test.example"), ("a@b.example", "@test.example")):
        server = Dialogue("127.0.0.1", mail.port, ehlo="h.example")
        code, text = server.command(f"MAIL FROM:<{sender}>")
        last = "MAIL" if code != 250 else "RCPT"
        if code == 250:
            code, text = server.command(f"RCPT TO:<{recipient}>")
        server.socket.close()
        done = mail.run("postsim", "--json", "--client", "127.0.0.1", "--name", "unknown", "--helo", "h.example", "--from", sender, "--to", recipient, check=False)
        stage = [one for one in json.loads(done.stdout)["stages"] if one["stage"] == last][0]
        if code == 250:
            assert stage["outcome"] == "accepted", (sender, recipient, stage)
        else:
            assert (code, text) == (stage["code"], f"{stage['status']} {stage['text']}")
