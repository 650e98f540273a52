# SPDX-License-Identifier: ISC
"""Processes that are stopped at a chosen system call, and what the disk would hold after a power loss.

tests/crash/interpose.c is loaded into the daemons and commands of one instance (LD_PRELOAD) and shares a control file
with the test.
"""
import mmap
import os
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "crash" / "interpose.c"
CONTROL_BYTES = 64 << 20
COUNT, STOP_AT, IS_RECORDING, STOPPED, WHERE, TAIL, CLOCK, JOURNAL = 0, 4, 8, 16, 20, 272, 280, 288
ENTRY = struct.Struct("<IIQqIHH16s")


@dataclass
class Entry:
    """One call that changed the queue."""
    call: str
    path: str
    other: str
    inode: int
    mode: int
    offset: int
    data: bytes


class Interposer:
    def __init__(self, folder):
        self.shared_object = Path(folder) / "interpose.so"
        self.control = Path(folder) / "control"
        subprocess.run([os.environ.get("CC", "cc").split()[-1], "-std=gnu17", "-O1", "-shared", "-fPIC", "-o", self.shared_object,
                        SOURCE, "-ldl"], check=True, timeout=60)
        with open(self.control, "wb") as file:
            file.truncate(CONTROL_BYTES)
        os.chmod(self.control, 0o666)
        with open(self.control, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), CONTROL_BYTES)

    def main(self):
        """main.cf parameters with which master hands the library on."""
        return {"import_environment": "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C LD_PRELOAD"}

    def attach(self, instance):
        instance.environment.update(LD_PRELOAD=str(self.shared_object), DROMOS_TEST_CRASH=str(self.control))

    def _get(self, at):
        return struct.unpack_from("<I", self.map, at)[0]

    @property
    def count(self):
        return self._get(COUNT)

    @property
    def has_stopped(self):
        return self._get(STOPPED) != 0

    @property
    def where(self):
        return self.map[WHERE:WHERE + 252].split(b"\0")[0].decode()

    def arm(self, stop_at):
        """From now on calls count from 1; the process that makes the call of that number stops there. 0: none."""
        struct.pack_into("<II", self.map, COUNT, 0, 0)
        self.map[STOPPED:STOPPED + 256] = bytes(256)
        struct.pack_into("<I", self.map, STOP_AT, stop_at)

    def set_clock(self, seconds_ahead):
        struct.pack_into("<q", self.map, CLOCK, seconds_ahead)

    def record(self):
        struct.pack_into("<Q", self.map, TAIL, 0)
        struct.pack_into("<I", self.map, IS_RECORDING, 1)

    @property
    def position(self):
        """Where the journal ends now."""
        return struct.unpack_from("<Q", self.map, TAIL)[0]

    def journal(self):
        """[(position after it, entry)] of all calls so far."""
        at, end, found = 0, self.position, []
        while at < end:
            size, mode, inode, offset, data_len, path_len, other_len, call = ENTRY.unpack_from(self.map, JOURNAL + at)
            start = JOURNAL + at + ENTRY.size
            texts = self.map[start:start + path_len + other_len]
            data = self.map[start + path_len + other_len:start + path_len + other_len + data_len]
            at += size
            found.append((at, Entry(call.split(b"\0")[0].decode(), texts[:path_len].decode(), texts[path_len:].decode(),
                                    inode, mode, offset, data)))
        return found


@dataclass(eq=False)
class _File:
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    mode: int = 0o600
    synced_mode: int = 0o600
    mtime: int = 0


class Disk:
    """A queue directory that hears of each call and can say what a power loss leaves.

    A name is on the disk when its file or its directory was synced after it got it; until then the disk has the old name.
    Content and mode are on the disk as they were at the file's last fsync.
    """

    def __init__(self):
        self.inodes = {}   # open or named files by inode, which may be used again
        self.names = {}    # path: file, as the kernel sees them
        self.durable = {}  # path: file, on the disk

    def apply(self, entry):
        getattr(self, "_" + entry.call.replace("-", "_"), lambda _: None)(entry)

    def _create(self, entry):
        if entry.path not in self.names or self.names[entry.path] is not self.inodes.get(entry.inode):
            self.names[entry.path] = self.inodes[entry.inode] = _File(mode=entry.mode & 0o7777)

    def _write(self, entry):
        data = self.inodes[entry.inode].data
        if len(data) < entry.offset:
            data.extend(bytes(entry.offset - len(data)))
        data[entry.offset:entry.offset + len(entry.data)] = entry.data

    def _truncate(self, entry):
        del self.inodes[entry.inode].data[entry.offset:]

    def _fchmod(self, entry):
        self.inodes[entry.inode].mode = entry.mode & 0o7777

    def _chmod(self, entry):
        self.names[entry.path].mode = entry.mode & 0o7777

    def _utimes(self, entry):
        self.names[entry.path].mtime = entry.offset

    def _rename(self, entry):
        self.names[entry.other] = self.names.pop(entry.path)

    def _link(self, entry):
        self.names[entry.other] = self.names[entry.path]

    def _unlink(self, entry):
        self.names.pop(entry.path, None)

    def _fsync(self, entry):
        file = self.inodes[entry.inode]
        file.synced, file.synced_mode = bytes(file.data), file.mode
        self.durable = {path: other for path, other in self.durable.items() if other is not file}
        self.durable.update({path: file for path, other in self.names.items() if other is file})

    def _fsync_dir(self, entry):
        inside = entry.path + "/"
        self.durable = {path: file for path, file in self.durable.items() if not path.startswith(inside)}
        self.durable.update({path: file for path, file in self.names.items() if path.startswith(inside)})

    def image(self, is_eager):
        """{path: (content, mode, mtime)} after a power loss. Eager: all names and modes had reached the disk already, but of
        the content only what was synced (the rest reads as zeros)."""
        if not is_eager:
            return {path: (file.synced, file.synced_mode, 0) for path, file in self.durable.items()}
        return {path: (file.synced + bytes(max(0, len(file.data) - len(file.synced))), file.mode, file.mtime)
                for path, file in self.names.items()}
