# SPDX-License-Identifier: ISC
"""Fixtures of the end-to-end tests: `instance` makes and ends mail systems, `sink` and `dns` play the outside."""
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import DnsServer, Instance, Sink, ensure_accounts, selected_flavour, virtual_parameters  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long form of tests that have one")


def pytest_configure(config):
    for line in ("root: needs to be run by root", "dns: needs our resolver's test switch (skipped on Postfix)",
                 "dromos: states something of ours that Debian's Postfix does not do",
                 "sanitize: also run on the sanitizer builds", "alone: measures time or memory, or loads the machine: nothing runs beside it"):
        config.addinivalue_line("markers", line)


def pytest_collection_modifyitems(config, items):
    flavour = selected_flavour()
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if flavour.is_postfix and (item.get_closest_marker("dns") or item.get_closest_marker("dromos")):
            item.add_marker(pytest.mark.skip(reason="not for Postfix"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Failing tests show the end of the mail log."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        made_here = getattr(item, "dromos_instances", []) + getattr(item.parent, "dromos_instances", [])
        for made in made_here:
            report.sections.append((f"mail log of {made.directory.name}", made.log.text()[-8000:]))


@pytest.fixture(scope="session")
def flavour():
    chosen = selected_flavour()
    if not chosen.is_usable:
        pytest.exit(f"no master program in {chosen.daemon_directory}: run make first", returncode=4)
    return chosen


@contextlib.contextmanager
def _workdir():
    """A short path (UNIX socket names are bounded) that every account can enter."""
    path = Path(tempfile.mkdtemp(prefix="dromos-", dir=os.environ.get("DROMOS_TEST_TMP", "/tmp")))
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _instances(node, folder, flavour):
    """A function that makes an instance (and starts it unless start=False); sees to the end of all it made."""
    made = []
    node.dromos_instances = made

    def make(start=True, name=None, **options):
        number = len(made) + 1
        one = Instance(folder / (name or f"i{number}"), **{"flavour": flavour, **options})
        made.append(one)
        return one.start() if start else one

    yield make
    reports = ""
    for one in made:
        one.stop()
        reports += one.sanitizer_reports()
    assert not reports, f"sanitizer reports:\n{reports[:6000]}"
    panics = [line for one in made for line in one.log.lines() if "panic:" in line]
    assert not panics, f"panics in the log: {panics}"


@pytest.fixture
def workdir():
    with _workdir() as path:
        yield path


@pytest.fixture
def instance(request, workdir, flavour):
    with _instances(request.node, workdir, flavour) as make:
        yield make


@pytest.fixture(scope="module")
def shared_instance(request, flavour):
    """As `instance`, for tests of one file that share a running system."""
    with _workdir() as path, _instances(request.node, path, flavour) as make:
        yield make


@pytest.fixture
def sink():
    """A function that makes sinks and closes them."""
    made = []

    def make(**options):
        one = Sink(**options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def dns():
    made = []

    def make(records=None):
        one = DnsServer(records)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def accounts():
    return ensure_accounts()


@pytest.fixture
def is_full(request):
    return request.config.getoption("--full")


@pytest.fixture(scope="session")
def virtual():
    return virtual_parameters
