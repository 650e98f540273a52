# SPDX-License-Identifier: ISC
"""Every kind of notification, from Debian's Postfix and from ours for the same mail: headers, report fields, parts.

The texts for people are our own, so of the text part only the lines about recipients are compared. What may differ, and
why, stands in data/notices/allowed.tsv. Skipped where Debian's package cannot be downloaded.
"""
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness import Instance, Sink, free_port, make_message, postfix_flavour, smtp_send, wait_until
from harness.comparison import read_allowed
from harness.debian import debian_commands

ALLOWED = Path(__file__).resolve().parent / "data" / "notices" / "allowed.tsv"
UNKNOWN = "550 5.1.1 unknown user"
TEMPLATES = """failure_template = <<END
Charset: iso-8859-1
From: Bouncer <bouncer@templates.example>
Subject: It did not work
Postmaster-Subject: It did not work for somebody

The template of $myhostname.

END
delay_template = <<END
Charset: us-ascii
Subject: Not yet

After $delay_warning_time_seconds seconds.

END
"""


@dataclass
class Case:
    """What is sent, under which settings, and how many notifications come of it."""
    name: str
    send: object               # function of the instance
    main: dict = field(default_factory=dict)
    rcpt: str = None           # the far server's reply to RCPT; None: it takes the mail
    keywords: tuple = None     # of the far server
    notices: int = 1
    is_far_dead: bool = False
    templates: str = ""
    aliases: str = ""


def mail(sender="joe@client.example", to="user@far.example", message=None, **options):
    return lambda system: smtp_send(system, sender, to, message or make_message(subject="the subject"), **options)


def dialogue(mail_from, rcpt_to, content=b"Subject: s\r\n\r\nbody\r\n"):
    def run(system):
        with system.dialogue(ehlo="client.example") as talk:
            talk.expect(f"MAIL FROM:{mail_from}", 250)
            talk.expect(f"RCPT TO:{rcpt_to}", 250)
            talk.expect("DATA", 354)
            talk.expect(content + b".\r\n", 250)
    return run


def sendmail(*arguments, text="Subject: s\n\nbody\n"):
    return lambda system: system.run("sendmail", *arguments, input=text)


DELAY = {"delay_warning_time": "1s"}
ALIAS = {"virtual_alias_maps": "inline:{old@there.example=user@far.example}"}
PM = "pm@client.example"
CASES = [
    Case("failure", mail(), rcpt=UNKNOWN),
    Case("failure of several", mail(to=["a@far.example", "b@far.example"]), rcpt=UNKNOWN),
    Case("reply of several lines", mail(),
         rcpt="550-5.1.1 first line of a long text that has to be wrapped somewhere\n550 5.1.1 last"),
    Case("reply without an enhanced code", mail(), rcpt="553 no such user here"),
    Case("envelope id and original recipient",
         dialogue("<joe@client.example> ENVID=Q+2B1", "<user@far.example> ORCPT=rfc822;o+2Bx@far.example"), rcpt=UNKNOWN),
    Case("headers only", mail(mail_options=["RET=HDRS"]), rcpt=UNKNOWN),
    Case("too large to return", mail(message=make_message(size=20000)), {"bounce_size_limit": "2000"}, rcpt=UNKNOWN),
    Case("alias expanded", mail(to="old@there.example"), ALIAS, rcpt=UNKNOWN),
    Case("alias expanded, asked by ORCPT",
         dialogue("<joe@client.example>", "<old@there.example> ORCPT=rfc822;first@else.example"), ALIAS, rcpt=UNKNOWN),
    Case("unknown in a virtual domain", mail(to="nobody@virt.example"), {"smtpd_reject_unlisted_recipient": "no"}),
    Case("international", dialogue("<joe@client.example> SMTPUTF8", "<jörg@far.example>", "Subject: ü\r\n\r\nbody\r\n".encode()),
         rcpt=UNKNOWN),
    Case("no smtputf8", mail(), {"smtputf8_enable": "no"}, rcpt=UNKNOWN),
    Case("no smtputf8, 8bit body", dialogue("<joe@client.example> BODY=8BITMIME", "<user@far.example>", b"Subject: s\r\n\r\n\xe9\r\n"),
         {"smtputf8_enable": "no"}, rcpt=UNKNOWN),
    Case("threaded", mail(), {"enable_threaded_bounces": "yes"}, rcpt=UNKNOWN),
    Case("obsolete From", mail(), {"header_from_format": "obsolete"}, rcpt=UNKNOWN),
    Case("postmaster copy", mail(), {"notify_classes": "bounce", "bounce_notice_recipient": PM}, rcpt=UNKNOWN, notices=2),
    Case("double bounce", mail(sender=""), {"notify_classes": "2bounce", "2bounce_notice_recipient": PM}, rcpt=UNKNOWN),
    Case("verp", dialogue("<list@client.example> XVERP", "<user@far.example>"), {"smtpd_authorized_verp_clients": "127.0.0.1"},
         rcpt=UNKNOWN),
    Case("delay", mail(), DELAY, is_far_dead=True),
    Case("delay, original recipient", mail(to="old@there.example"), {**DELAY, **ALIAS}, is_far_dead=True),
    Case("postmaster delay", mail(), {**DELAY, "notify_classes": "delay", "delay_notice_recipient": PM}, is_far_dead=True,
         notices=2),
    Case("expired at once", mail(), {"maximal_queue_lifetime": "0"}, is_far_dead=True),
    Case("success, relayed", mail(rcpt_options=["NOTIFY=SUCCESS"]), keywords=("8BITMIME",)),
    Case("success, mailbox", mail(to="box@virt.example", rcpt_options=["NOTIFY=SUCCESS"])),
    Case("success, local alias", mail(to="team@test.example", rcpt_options=["NOTIFY=SUCCESS"]), aliases="team: box@virt.example\n"),
    Case("success, virtual alias of several", mail(to="old@there.example", rcpt_options=["NOTIFY=SUCCESS"]),
         {"virtual_alias_maps": "inline:{{old@there.example=box@virt.example, box2@virt.example}}"}),
    Case("success, virtual alias of one", mail(to="old@there.example", rcpt_options=["NOTIFY=SUCCESS"]),
         {"virtual_alias_maps": "inline:{old@there.example=box@virt.example}"}),
    Case("success of null sender", mail(sender="", rcpt_options=["NOTIFY=SUCCESS"]),
         {"notify_classes": "2bounce", "2bounce_notice_recipient": PM}, keywords=("8BITMIME",)),
    Case("template", mail(), templates=TEMPLATES, rcpt=UNKNOWN),
    Case("template of delay", mail(), DELAY, templates=TEMPLATES, is_far_dead=True),
    Case("template, postmaster copy", mail(), {"notify_classes": "bounce", "bounce_notice_recipient": PM},
         templates=TEMPLATES, rcpt=UNKNOWN, notices=2),
    Case("sendmail -bv", sendmail("-bv", "-f", "joe@client.example", "user@far.example"), rcpt=UNKNOWN),
    Case("sendmail -bv, good", sendmail("-bv", "-f", "joe@client.example", "user@far.example")),
    Case("sendmail -bv, mailbox", sendmail("-bv", "-f", "joe@client.example", "box@virt.example")),
    Case("sendmail -bv, alias", sendmail("-bv", "-f", "joe@client.example", "team@test.example"), aliases="team: user@far.example\n"),
    Case("sendmail -bv, dead", sendmail("-bv", "-f", "joe@client.example", "user@far.example"), is_far_dead=True),
    Case("sendmail -v", sendmail("-v", "-f", "joe@client.example", "user@far.example")),
    Case("sendmail -v, failure", sendmail("-v", "-f", "joe@client.example", "user@far.example"), rcpt=UNKNOWN, notices=2),
    Case("notify failure from sendmail", sendmail("-N", "failure", "-V", "env1", "-f", "joe@client.example", "user@far.example"),
         rcpt=UNKNOWN),
    Case("delay cleared", mail(), {**DELAY, "confirm_delay_cleared": "yes"}, rcpt="450 4.2.0 busy", notices=2),
]


def start(case, flavour, folder, back, far):
    nexthop = f"[127.0.0.1]:{free_port()}" if case.is_far_dead else far.nexthop
    system = Instance(folder, flavour=flavour, main={
        "relayhost": back.nexthop, "minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s",
        "virtual_mailbox_domains": "virt.example", "virtual_mailbox_base": folder / "mail", "virtual_minimum_uid": "1",
        "virtual_mailbox_maps": "inline:{box@virt.example=box/, box2@virt.example=box2/}",
        "virtual_uid_maps": "static:65534", "virtual_gid_maps": "static:65534", **case.main})
    system.main["transport_maps"] = system.table("transport", f"far.example smtp:{nexthop}\n")
    if case.templates:
        system.main["bounce_template_file"] = system.file("bounce.cf", case.templates)
    if case.aliases:
        system.main["alias_maps"] = system.aliases(case.aliases)
    system.write()
    return system.start()


def collect(case, flavour, folder):
    """The notifications, as the sink of client.example got them."""
    back = Sink()
    far = Sink(**({"keywords": list(case.keywords)} if case.keywords else {}))
    began = time.monotonic()
    if case.name == "delay cleared":
        far.on("rcpt", lambda session: case.rcpt if time.monotonic() - began < 6 else None)
    elif case.rcpt:
        far.on("rcpt", case.rcpt)
    system = None
    try:
        system = start(case, flavour, folder, back, far)
        case.send(system)
        wait_until(lambda: back.count >= case.notices, 40,
                   lambda: f"{case.name}: {case.notices} notices from {flavour.name}, has {back.count}; {system.log.text()[-3000:]}")
        # Two of them may arrive in either order: by envelope and subject.
        return sorted((normal(one, system) for one in back.messages),
                      key=lambda text: (text.split("\n", 1)[0], re.search(r"^Subject: .*", text, re.MULTILINE).group()))
    finally:
        if system:
            system.stop()
        back.close()
        far.close()


def normal(received, system):
    """The notification without what must differ: ids, times, ports, our own sentences."""
    text = received.text.replace("\r\n", "\n")
    boundary = re.search(r'boundary="([^"]+)"', text).group(1)
    text = text.replace(boundary, "BOUNDARY")
    head, notification, rest = re.split(r"(?=\n--BOUNDARY\n)", text, maxsplit=2)
    part_head, _, body = notification.partition("\n\n")
    about = re.search(r"^<", body, re.MULTILINE)
    text = f"{head}{part_head}\n\n...\n{body[about.start():] if about else ''}{rest}"
    text = re.sub(r"\b[A-Z][a-z]{2}, +\d+ [A-Z][a-z]{2} \d{4} [\d:]{8} [+-]\d{4} \([A-Z]+\)", "DATE", text)
    text = re.sub(r"\b[0-9A-F]{6,}\b", "ID", text)
    text = re.sub(r"<\d{14}\.ID@", "<TIME.ID@", text)
    text = re.sub(r"127\.0\.0\.1(\[127\.0\.0\.1\])?:\d+", r"127.0.0.1\1:PORT", text)
    return f"from <{received.sender}> to {received.recipients}\n{text}".replace(str(system.directory), "DIR")


def differences(case, their, our):
    theirs, ours = their.split("\n"), our.split("\n")
    for line in theirs:
        if line not in ours:
            yield f"{case.name} | -{line}"
    for line in ours:
        if line not in theirs:
            yield f"{case.name} | +{line}"
    if [line for line in theirs if line in ours] != [line for line in ours if line in theirs]:
        yield f"{case.name} | order:\n{their}\n--- ours:\n{our}"


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be downloaded")
    return postfix_flavour(found.commands.parents[1])


@pytest.mark.root
def test_as_debian(debian, flavour, workdir):
    if flavour.is_postfix:
        pytest.skip("states something of ours")
    rules = read_allowed(ALLOWED)

    def compare(numbered):
        number, case = numbered
        try:
            theirs, ours = (collect(case, one, workdir / f"{one.name[0]}{number}") for one in (debian, flavour))
        except AssertionError as error:
            return [str(error)]
        if len(theirs) != len(ours):
            return [f"{case.name}: {len(theirs)} against {len(ours)}"]
        found = [line for pair in zip(theirs, ours) for line in differences(case, *pair)]
        return [line for line in found if not any(pattern.search(line) for pattern, _, _ in rules)]

    with ThreadPoolExecutor(6) as pool:
        found = [line for lines in pool.map(compare, enumerate(CASES)) for line in lines]
    assert not found, "\n".join(found)
