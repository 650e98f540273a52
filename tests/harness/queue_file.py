# SPDX-License-Identifier: ISC
"""Queue files made by hand, record for record, for tests of the queue manager and of the queue commands."""
import os
import time


def record(kind, data):
    data = data if isinstance(data, bytes) else data.encode()
    length = len(data)
    encoded = bytearray()
    while True:
        byte = length & 0x7F
        length >>= 7
        encoded.append(byte | (0x80 if length else 0))
        if not length:
            break
    return kind.encode() + bytes(encoded) + data


def queue_file_bytes(sender, recipients, body="Subject: test\n\nhello\n", arrival=None, attributes=(), warn_time=None,
                     sendopts=0, content_filter=None, verp=None):
    """recipients: addresses, or (address, {"original": .., "notify": .., "orcpt": ..})."""
    arrival = int(arrival or time.time())
    envelope = record("T", f"{arrival} 123456") + record("A", f"create_time={arrival}")
    if content_filter:
        envelope += record("L", content_filter)
    envelope += b"".join(record("A", f"{name}={value}") for name, value in attributes)
    envelope += record("S", sender)
    if verp:
        envelope += record("V", verp)
    if warn_time is not None:
        envelope += record("W", f"{warn_time:15d}")
    for recipient in recipients:
        address, extra = recipient if isinstance(recipient, tuple) else (recipient, {})
        if "notify" in extra:
            envelope += record("A", f"notify_flags={extra['notify']}")
        if "orcpt" in extra:
            envelope += record("A", f"dsn_orig_rcpt={extra['orcpt']}")
        envelope += record("O", extra.get("original", address)) + record("R", address)
    content = b"".join(record("N", line) for line in body.splitlines())
    size_record = 6 * 15 + 5 + 2
    data_offset = size_record + len(envelope) + 2
    size = len(content)
    fields = (size, data_offset, len(recipients), 0, size, sendopts)
    head = record("C", " ".join(f"{value:15d}" for value in fields))
    assert len(head) == size_record
    return head + envelope + record("M", "") + content + record("X", "") + record("E", "")


def put_queue_file(instance, queue, content, mtime=None, mode=0o700):
    """Writes a file under a temporary name, then gives it the id that its inode asks for. Returns the id."""
    folder = instance.queue_directory / queue
    temporary = folder / f"{os.getpid()}.{time.time_ns()}"
    temporary.write_bytes(content)
    status = temporary.stat()
    queue_id = f"{time.time_ns() // 1000 % 1000000:05X}{status.st_ino:X}"
    if instance.accounts.is_root:
        os.chown(temporary, instance.accounts.owner_uid if not instance.user else status.st_uid, -1)
    temporary.chmod(mode)
    if mtime is not None:
        os.utime(temporary, (mtime, mtime))
    if queue in ("deferred", "defer"):
        folder = folder / queue_id[0]
        folder.mkdir(mode=0o700, exist_ok=True)
        if instance.accounts.is_root:
            os.chown(folder, instance.accounts.owner_uid, -1)
    temporary.rename(folder / queue_id)
    return queue_id


def log_entry(recipient, reason, *, status="4.4.1", action="delayed", offset=0, original=None):
    """One block of a defer or bounce log."""
    lines = [f"<{recipient}>: {reason}", f"recipient={recipient}", f"offset={offset}", f"dsn_orig_rcpt=rfc822;{recipient}",
             f"status={status}", f"action={action}", f"reason={reason}"]
    if original:
        lines.insert(2, f"original_recipient={original}")
    return "\n" + "\n".join(lines) + "\n\n"


def put_queue_log(instance, which, queue_id, text):
    """Writes defer/X/ID, bounce/ID or trace/ID."""
    folder = instance.queue_directory / which
    if which == "defer":
        folder = folder / queue_id[0]
        folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / queue_id
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    if instance.accounts.is_root and not instance.user:
        os.chown(folder, instance.accounts.owner_uid, -1)
        os.chown(path, instance.accounts.owner_uid, -1)
