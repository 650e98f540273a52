# SPDX-License-Identifier: ISC
"""What becomes of a message between its acceptance and the queue file: addresses, headers, copies, limits."""
import re
import smtplib

import pytest

from harness import make_message, smtp_send


@pytest.fixture
def keeper(instance):
    """An instance that keeps all mail in the queue."""
    def make(**main):
        return instance(main={"defer_transports": "smtp, local", "mydestination": "$myhostname", "local_recipient_maps": "",
                              "recipient_delimiter": "+", **main})
    return make


def queued(system, count=1):
    """postcat's view of the messages, oldest first, as {label: [value ...]} with "header" and "body"."""
    system.wait_queued("deferred", count)
    views = []
    for queue_id in system.queue_ids("deferred"):
        view = {"id": queue_id}
        for line in system.run("postcat", "-e", "-q", queue_id).stdout.splitlines():
            label, _, value = line.partition(": ")
            view.setdefault(label, []).append(value)
        view["header"] = system.run("postcat", "-h", "-q", queue_id).stdout
        view["body"] = system.run("postcat", "-b", "-q", queue_id).stdout
        views.append(view)
    return views


def test_virtual_aliases_nest_and_keep_extensions(keeper):
    system = keeper()
    table = system.table("virtual", "team@virt.example one@far.example, two\ntwo@mx.test three@far.example\n"
                                    "self@far.example self@far.example, copy@far.example\n@all.example @other.example\n")
    system.set(virtual_alias_maps=table, virtual_alias_domains="virt.example, all.example", myhostname="mx.test",
               myorigin="mx.test")
    smtp_send(system, "joe@client.example", ["team+x@virt.example", "self@far.example", "any+y@all.example"])
    (view,) = queued(system)
    assert view["recipient"] == ["one+x@far.example", "three+x@far.example", "self@far.example", "copy@far.example",
                                 "any+y@other.example"]
    assert view["original_recipient"] == ["team+x@virt.example"] * 2 + ["self@far.example"] * 2 + ["any+y@all.example"]


def test_alias_loop_is_a_temporary_refusal(keeper):
    system = keeper()
    table = system.table("virtual", "a@virt.example b@virt.example\nb@virt.example a@virt.example\n")
    system.set(virtual_alias_maps=table, virtual_alias_domains="virt.example")
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        smtp_send(system, "joe@client.example", "a@virt.example")
    assert refusal.value.smtp_code == 451 and b"4.6.0" in refusal.value.smtp_error
    system.log.wait_for(r"cleanup\[\d+\]: warning: \w+: unreasonable virtual_alias_maps map nesting for a@virt\.example")
    system.wait_queue_empty()


def test_canonical_mapping_of_envelope_and_headers(keeper):
    system = keeper()
    system.set(canonical_maps=system.table("canonical", "joe@old.example Joe.Doe@new.example\n"),
               recipient_canonical_maps=system.table("rcpt", "sue@far.example susan@far.example\n"))
    smtp_send(system, "joe@old.example", "sue@far.example",
              b"From: Joe Doe <joe@old.example>\r\nTo: Sue (see below) <sue@far.example>, x@y.example\r\nSubject: s\r\n\r\nb\r\n")
    (view,) = queued(system)
    assert view["sender"] == ["Joe.Doe@new.example"]
    assert view["recipient"] == ["susan@far.example"]
    assert view["original_recipient"] == ["sue@far.example"]
    assert "From: Joe Doe <Joe.Doe@new.example>\n" in view["header"]
    assert "<susan@far.example>" in view["header"] and "x@y.example" in view["header"]


def test_blind_copies(keeper):
    system = keeper(always_bcc="archive@far.example")
    system.set(sender_bcc_maps=system.table("sbcc", "joe@client.example boss@far.example\n"),
               recipient_bcc_maps=system.table("rbcc", "sue@far.example watch@far.example\n"))
    smtp_send(system, "joe@client.example", "sue@far.example")
    (view,) = queued(system)
    assert sorted(view["recipient"]) == ["archive@far.example", "boss@far.example", "sue@far.example", "watch@far.example"]
    assert view["named_attribute"].count("notify_flags=1") == 3


def test_masquerading(keeper):
    system = keeper(masquerade_domains="!keep.corp.example corp.example", masquerade_exceptions="root")
    smtp_send(system, "joe@host.corp.example", "sue@host.corp.example",
              b"From: joe@deep.host.corp.example\r\nTo: root@host.corp.example, a@keep.corp.example\r\n\r\nb\r\n")
    (view,) = queued(system)
    assert view["sender"] == ["joe@corp.example"]
    assert view["recipient"] == ["sue@host.corp.example"]
    assert "From: joe@corp.example\n" in view["header"]
    assert "To: root@host.corp.example, a@keep.corp.example\n" in view["header"]


def test_headers_of_local_clients_are_completed(keeper):
    system = keeper(myorigin="origin.example", undisclosed_recipients_header="To: undisclosed-recipients:;")
    smtp_send(system, "joe@client.example", "sue@far.example",
              b"From: joe\r\nBcc: secret@far.example\r\nReturn-Path: <x@y.example>\r\nSubject: s\r\n\r\nbody\r\n")
    (view,) = queued(system)
    assert "From: joe@origin.example\n" in view["header"]
    assert "secret" not in view["header"] and "Return-Path" not in view["header"]
    assert re.search(rf"^Message-Id: <\d{{14}}\.{view['id']}@\S+>$", view["header"], re.M)
    assert re.search(r"^Date: \w{3}, +\d+ \w{3} \d{4} [\d:]{8} [+-]\d{4} \(\w+\)$", view["header"], re.M)
    assert view["recipient"] == ["sue@far.example"]


def test_first_line_of_a_mailbox(keeper):
    system = keeper()
    smtp_send(system, "joe@client.example", "sue@far.example", b"From joe Mon\r\nSubject: s\r\n\r\nFrom here\r\n")
    (view,) = queued(system)
    assert "\nX-Mailbox-Line: From joe Mon\nSubject: s\n" in view["header"]
    assert view["body"] == "\nFrom here\n"


@pytest.mark.parametrize("hops, is_accepted", [(9, False), (8, True)])
def test_hop_count(keeper, hops, is_accepted):
    system = keeper(hopcount_limit="10")
    data = b"".join(b"Received: from x by y; now\r\n" for _ in range(hops)) + b"\r\nbody\r\n"
    if is_accepted:
        smtp_send(system, "joe@client.example", "sue@far.example", data)
        return
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        smtp_send(system, "joe@client.example", "sue@far.example", data)
    assert refusal.value.smtp_code == 554 and b"5.4.0 Error: too many hops" in refusal.value.smtp_error
    system.log.wait_for(r"warning: \w+: message rejected: hopcount exceeded")
    system.wait_queue_empty()


def test_delivery_status_options_are_kept(keeper):
    system = keeper(delay_warning_time="4h")
    with smtplib.SMTP("127.0.0.1", system.port, "client.example", timeout=20) as client:
        client.sendmail("joe@client.example", ["a@far.example", "b@far.example"], make_message("j@x.example", "a@far.example"),
                        mail_options=["RET=HDRS", "ENVID=ab+2Bc", "BODY=8BITMIME"],
                        rcpt_options=["NOTIFY=FAILURE,DELAY", "ORCPT=rfc822;orig@far.example"])
    (view,) = queued(system)
    attributes = view["named_attribute"]
    for attribute in ("ret_flags=2", "envelope_id=ab+c", "encoding=8bit", "rewrite_context=local"):
        assert attribute in attributes
    assert attributes.count("notify_flags=12") == 2
    assert attributes.count("dsn_orig_rcpt=rfc822;orig@far.example") == 2
    assert "warning_message_time" in view
    assert view["message_size"][0].split()[2:4] == ["2", "24"]


def test_long_queue_ids(keeper):
    system = keeper(enable_long_queue_ids="yes")
    smtp_send(system, "joe@client.example", "sue@far.example")
    (view,) = queued(system)
    assert re.fullmatch(r"[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+", view["id"])
    assert re.search(rf"^Message-Id: <{view['id']}@\S+>$", view["header"], re.M)


def test_unavailable_table_is_a_temporary_refusal(keeper):
    system = keeper()
    system.set(sender_bcc_maps=f"texthash:{system.config_directory}/absent")
    with pytest.raises(smtplib.SMTPDataError) as refusal:
        smtp_send(system, "joe@client.example", "sue@far.example")
    assert refusal.value.smtp_code == 451
    system.log.wait_for(r"warning: \w+: sender_bcc_maps map lookup problem")
    assert "joe@client.example" not in system.run("postqueue", "-p").stdout
