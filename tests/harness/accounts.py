# SPDX-License-Identifier: ISC
"""Accounts that instances run as and deliver to.

Started by root, the suite wants an unprivileged owner of the queue and a group for postdrop, and tests want a person
with a home directory. They are made once, with names of their own, and left in place. Started by an ordinary user
everything is that user.
"""
import grp
import os
import pwd
import subprocess
from dataclasses import dataclass

OWNER = "dromos-test"
DROP_GROUP = "dromos-tdrop"
PERSON = "dromos-tuser"


@dataclass(frozen=True)
class Accounts:
    owner: str       # mail_owner
    drop_group: str  # setgid_group
    person: str      # a recipient with a home directory
    is_root: bool

    @property
    def owner_uid(self):
        return pwd.getpwnam(self.owner).pw_uid

    @property
    def drop_gid(self):
        return grp.getgrnam(self.drop_group).gr_gid

    @property
    def person_uid(self):
        return pwd.getpwnam(self.person).pw_uid

    @property
    def person_gid(self):
        return pwd.getpwnam(self.person).pw_gid


def _missing(lookup, name):
    try:
        lookup(name)
        return False
    except KeyError:
        return True


def _run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60)


def ensure_accounts():
    """The accounts for whoever runs this; creates them when that is root and they are missing."""
    if os.geteuid() != 0:
        me = pwd.getpwuid(os.geteuid()).pw_name
        group = grp.getgrgid(os.getegid()).gr_name
        return Accounts(owner=me, drop_group=group, person=me, is_root=False)
    if _missing(grp.getgrnam, DROP_GROUP):
        _run("groupadd", "--system", DROP_GROUP)
    for name in (OWNER, PERSON):
        if _missing(grp.getgrnam, name):
            _run("groupadd", "--system", name)
        if _missing(pwd.getpwnam, name):
            _run("useradd", "--system", "--no-create-home", "--home-dir", f"/nonexistent/{name}", "--gid", name,
                 "--shell", "/bin/sh", "--comment", "Mail tests", name)
    return Accounts(owner=OWNER, drop_group=DROP_GROUP, person=PERSON, is_root=True)
