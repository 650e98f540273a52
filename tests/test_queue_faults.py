# SPDX-License-Identifier: ISC
"""Queue files with every kind of damage, hundreds at once: the queue manager stays up, sets aside what makes no sense,
delivers what does, and healthy mail passes."""
import collections
import itertools
import random
import re
import time

import pytest

from harness import wait_until
from harness.queue_file import put_queue_file, queue_file_bytes, record

pytestmark = pytest.mark.dromos
KNOWN = "CTcFILSVWAORD/KMNLwXreP>fdmp<ionE"
SAMPLE_DATA = {"C": f"{100:15d} {200:15d} {1:15d} {0:15d} {100:15d} {0:15d}", "T": "1795354007 1", "W": f"{0:15d}", "A": "name=value",
               "p": f"{0:15d}", "V": "+=", "M": "", "X": "", "E": "", "c": "1795354007", "f": "0", "d": "1", "m": "1"}


def data_of(kind):
    return SAMPLE_DATA.get(kind, "x@b.example")


def records_of(content):
    """[bytes of each record]"""
    found, at = [], 0
    while at < len(content):
        start, length, shift = at, 0, 0
        at += 1
        while True:
            byte = content[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        at += length
        found.append(content[start:at])
    return found


GOOD = queue_file_bytes("joe@a.example", ["x@b.example", ("y@c.example", {"notify": 8, "orcpt": "rfc822;y@c.example"})], warn_time=0)
RECORDS = records_of(GOOD)


def damaged():
    """(name, content) of every variant."""
    for index, one in enumerate(RECORDS):  # each record of a good file
        kind = chr(one[0])
        before, after = b"".join(RECORDS[:index]), b"".join(RECORDS[index + 1:])
        yield f"{index} {kind} left out", before + after
        yield f"{index} {kind} twice", before + one + one + after
        yield f"{index} {kind} cut", before + one[:-1]
        yield f"{index} {kind} ends the file", before + one
        yield f"{index} {kind} first", one + before + after
        yield f"{index} {kind} last", before + after + one
        yield f"{index} {kind} too long for the file", before + one[:1] + b"\xff\xff\x7f" + one[2:] + after
        yield f"{index} {kind} length without end", before + one[:1] + b"\xff" * 12 + after
    for kind, index in itertools.product(KNOWN, (1, 5, len(RECORDS) - 3, len(RECORDS) - 1)):  # each type at odd places
        before, after = b"".join(RECORDS[:index]), b"".join(RECORDS[index:])
        yield f"{kind} at {index}", before + record(kind, data_of(kind)) + after
        yield f"{kind} at {index}, empty", before + record(kind, "") + after
        yield f"{kind} at {index}, odd bytes", before + record(kind, b"\0\r\n\xff" * 5) + after
        yield f"{kind} at {index}, oversized", before + record(kind, b"9" * 300000) + after
        yield f"{kind} at {index}, many", before + record(kind, data_of(kind)) * 500 + after
    envelope = b"".join(RECORDS[:5])
    here = len(envelope)
    for target in (here, here - len(RECORDS[4]), len(RECORDS[0]), 1, -5, len(GOOD) + 17, len(GOOD) + 500000, 10 ** 14, 2 ** 63):
        yield f"pointer to {target}", envelope + record("p", f"{target:15d}") + b"".join(RECORDS[5:])
    size = len(record("p", f"{0:15d}"))
    yield "two pointers to each other", envelope + record("p", f"{here + size:15d}") + record("p", f"{here:15d}") + b"".join(RECORDS[5:])
    yield "pointer in the content to the envelope", b"".join(RECORDS[:-4]) + record("p", f"{len(RECORDS[0]):15d}") + b"".join(RECORDS[-4:])
    yield "pointer without a number", envelope + record("p", "somewhere") + b"".join(RECORDS[5:])
    random_bytes = random.Random(5)
    for number in range(50):
        content = bytearray(GOOD)
        for _ in range(random_bytes.randint(1, 6)):
            content[random_bytes.randrange(len(content))] = random_bytes.randrange(256)
        yield f"noise {number}", bytes(content)


def test_damaged_files(instance, is_full, capsys):
    system = instance(start=False, main={"default_transport": "discard", "mydestination": "", "relay_domains": "",
                                         "minimal_backoff_time": "2s", "maximal_backoff_time": "2s",
                                         "maximal_queue_lifetime": "100d", "bounce_queue_lifetime": "100d"})
    system.start()
    wait_until(lambda: system.pids("qmgr"), 10, "the queue manager")
    (pid,) = system.pids("qmgr")
    variants = list(damaged())
    if not is_full:
        variants = variants[::3]
    names = {}
    for number, (name, content) in enumerate(variants):
        queue = ("incoming", "deferred", "active")[number % 3] if number % 3 < 2 else "incoming"
        names[put_queue_file(system, queue, content, mtime=time.time() - 9)] = name
    system.run("postqueue", "-f")

    def unsettled():
        """Neither set aside nor removed, nor deferred with a reason."""
        waiting = set(system.queue_ids("incoming", "active")) & set(names)
        text = system.log.text()
        return waiting | {one for one in set(system.queue_ids("deferred")) & set(names)
                          if not re.search(rf"{one}: to=.*status=deferred", text)}
    wait_until(lambda: not unsettled(), 60, lambda: f"all files settled; left: {[names[one] for one in unsettled()][:20]}", 0.3)
    corrupt, deferred = set(system.queue_ids("corrupt")), set(system.queue_ids("deferred"))
    fate = {}
    for queue_id, name in names.items():
        fate[name] = "set aside" if queue_id in corrupt else "deferred" if queue_id in deferred else "removed"
        if fate[name] == "removed":
            assert system.log.find(rf"{queue_id}: removed$"), f"{name}: {queue_id} vanished without a word"
    assert system.pids("qmgr") == [pid], "the queue manager went on"
    good = put_queue_file(system, "incoming", GOOD)
    system.run("postkick", "public", "qmgr", "I")
    system.log.wait_for(rf"{good}: removed$")
    assert all(fate[name] == "set aside" for name in fate if "length without end" in name or name.endswith(" cut"))
    count = collections.Counter(fate.values())
    assert count["set aside"] > len(fate) // 4 and count["removed"] > len(fate) // 10
    with capsys.disabled():
        print(f"\n{len(fate)} damaged files: " + ", ".join(f"{number} {what}" for what, number in sorted(count.items())))
