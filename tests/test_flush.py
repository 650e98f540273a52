# SPDX-License-Identifier: ISC
"""Fast flush: a site's deferred mail, and nothing else, is tried when the site or an administrator asks."""
import os
import shutil
import time

import pytest

from harness import smtp_send, wait_until

pytestmark = pytest.mark.sanitize


@pytest.fixture
def system(instance):
    one = instance(start=False, main={"relay_domains": "site.example, other.example", "minimal_backoff_time": "1h",
                                      "maximal_backoff_time": "2h", "relay_transport": "relay:[127.0.0.1]:1"})
    one.start()
    return one


def defer_one(system, recipient):
    before = set(system.queue_ids("deferred"))
    smtp_send(system, recipients=recipient)
    return wait_until(lambda: set(system.queue_ids("deferred")) - before, 20, "the message in the deferred queue").pop()


def site_lines(system, name):
    try:
        return (system.queue_directory / "flush" / name).read_text().split()
    except FileNotFoundError:
        return []


def attempts(system, queue_id):
    return system.log.count(rf"{queue_id}: to=<[^>]*>.*status=deferred")


def test_etrn_tries_the_mail_of_one_site(system):
    mine = [defer_one(system, f"u{number}@site.example") for number in range(2)]
    other = defer_one(system, "u@other.example")
    wait_until(lambda: sorted(site_lines(system, "site_example")) == sorted(mine), 5, "the ids in the site's file")
    with system.dialogue(ehlo="site.example") as talk:
        assert talk.command("ETRN site.example") == (250, "Queuing started")
    for queue_id in mine:
        wait_until(lambda queue_id=queue_id: attempts(system, queue_id) == 2, 10, f"another attempt of {queue_id}")
    assert attempts(system, other) == 1
    # Deferred again, they wait for the site again.
    wait_until(lambda: sorted(site_lines(system, "site_example")) == sorted(mine), 5, "the ids in the site's file again")


@pytest.mark.dromos  # Postfix's services notice a reload each in its own time
def test_mail_goes_out_when_the_site_is_there(system, sink):
    queue_id = defer_one(system, "u@site.example")
    receiver = sink()
    system.set(relay_transport=f"relay:[127.0.0.1]:{receiver.port}")
    with system.dialogue(ehlo="site.example") as talk:
        talk.expect("ETRN site.example", 250)
    system.log.wait_for(rf"{queue_id}: to=<u@site.example>.*status=sent")
    system.wait_queue_empty()


def test_postqueue_and_sendmail_flush_a_site(system):
    queue_id = defer_one(system, "u@site.example")
    assert system.run("postqueue", "-s", "site.example").returncode == 0
    wait_until(lambda: attempts(system, queue_id) == 2, 10, "a second attempt")
    wait_until(lambda: site_lines(system, "site_example"), 5, "the id in the site's file")
    assert system.run("sendmail", "-qRsite.example").returncode == 0
    wait_until(lambda: attempts(system, queue_id) == 3, 10, "a third attempt")


def test_a_site_that_is_not_listed(system):
    done = system.run("postqueue", "-s", "elsewhere.example", check=False)
    assert done.returncode == 69
    assert "Flush service is not configured for destination \"elsewhere.example\"" in done.stderr
    with system.dialogue(ehlo="client.example") as talk:
        assert talk.command("ETRN elsewhere.example") == (459, "<elsewhere.example>: service unavailable")
    system.log.wait_for(r"warning: reject: ETRN elsewhere\.example\.\.\. from ")


def test_etrn_restrictions(system):
    system.set(smtpd_etrn_restrictions="reject")
    with system.dialogue(ehlo="client.example") as talk:
        code, text = talk.command("ETRN site.example")
    assert code == 554 and "<site.example>: Etrn command rejected: Access denied" in text


@pytest.mark.dromos
def test_gone_messages_are_passed_over(system):
    queue_id = defer_one(system, "u@site.example")
    system.run("postsuper", "-d", queue_id)
    with system.dialogue(ehlo="site.example") as talk:
        talk.expect("ETRN site.example", 250)
    assert site_lines(system, "site_example") == []


def age(system, name, seconds):
    path = system.queue_directory / "flush" / name
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


@pytest.mark.dromos
def test_woken_up_it_refreshes_old_files_and_removes_empty_ones(instance):
    """fast_flush_refresh_time and fast_flush_purge_time, at a wake-up."""
    one = instance(main={"relay_domains": "old.example, new.example", "minimal_backoff_time": "1h", "maximal_backoff_time": "2h",
                         "relay_transport": "relay:[127.0.0.1]:1", "fast_flush_refresh_time": "600s", "fast_flush_purge_time": "3600s"})
    old, new = (defer_one(one, f"u@{site}.example") for site in ("old", "new"))
    for site, queue_id in (("old", old), ("new", new)):
        wait_until(lambda site=site, queue_id=queue_id: site_lines(one, f"{site}_example") == [queue_id], 5, "the id in the site's file")
    folder = one.queue_directory / "flush"
    for name in ("gone_example", "kept_example"):
        (folder / name).touch(mode=0o600)
        shutil.chown(folder / name, one.owner)
    age(one, "old_example", 700)
    age(one, "new_example", 500)
    gone, kept = age(one, "gone_example", 3700), age(one, "kept_example", 3500)
    one.run("postkick", "public", "flush", "W")
    wait_until(lambda: attempts(one, old) == 2, 10, "another attempt of the old site's message")
    wait_until(lambda: not gone.exists(), 10, "the empty file to be removed")
    assert kept.exists() and attempts(one, new) == 1
    assert site_lines(one, "new_example") == [new]
