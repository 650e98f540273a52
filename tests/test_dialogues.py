# SPDX-License-Identifier: ISC
"""The dialogues of tests/data/dialogues, said to Debian's SMTP server and to ours: see compare_dialogues.py."""
import pytest

import compare_dialogues
from harness.comparison import read_allowed
from harness.debian import debian_commands

FILES = sorted(compare_dialogues.FOLDER.glob("*.txt"))


@pytest.fixture(scope="module")
def debian_root(tmp_path_factory):
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's package cannot be had")
    return found.commands.parent.parent


def test_there_are_enough():
    assert sum(len(compare_dialogues.read_script(path).cases) for path in FILES) >= 150
    assert read_allowed(compare_dialogues.FOLDER / "allowed.tsv")


@pytest.mark.dromos
@pytest.mark.root
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_same_as_debian(debian_root, path):
    count, unexplained, _ = compare_dialogues.compare(debian_root, [path])
    for difference in unexplained:
        compare_dialogues.show(difference)
    assert count > 0 and not unexplained, [difference.case for difference in unexplained]
