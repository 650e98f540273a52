# SPDX-License-Identifier: ISC
"""The order of deliveries, from Debian's Postfix and from ours for the same queue and the same main.cf.

Each scenario has a transport of its own, so one instance of each system runs them all at the same time. The next hops hold their first
delivery until all mail of the scenario is in the active queue. What is compared is documented in SCHEDULER_README and postconf(5); where
a race decides, the assertion says how far the two may be apart, and why. Skipped where Debian's package cannot be downloaded.
"""
import os
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import Instance, Sink, postfix_flavour, wait_until
from harness.debian import debian_commands
from harness.queue_file import put_queue_file, queue_file_bytes

pytestmark = [pytest.mark.root, pytest.mark.dromos]
DEAD = "421 4.3.2 too busy"


class Hop:
    """A next hop that writes down deliveries as they begin and as they end."""

    def __init__(self, pause=0.0, is_gated=True):
        self.pause = pause
        self.may_go_on = threading.Event()
        if not is_gated:
            self.may_go_on.set()
        self.lock = threading.Lock()
        self.begun, self.ended, self.levels = [], [], []  # levels: (deliveries that had ended, under way) at each beginning
        self.under_way = 0
        self.sink = Sink()
        self.sink.on("data", self._begin).on("eod", self._end)

    def _begin(self, session):
        with self.lock:
            self.under_way += 1
            self.begun.append((time.monotonic(), list(session.recipients)))
            self.levels.append((len(self.ended), self.under_way))

    def _end(self, session):
        self.may_go_on.wait(40)
        time.sleep(self.pause)
        with self.lock:
            self.under_way -= 1
            self.ended.append((time.monotonic(), list(session.recipients)))

    def order(self):
        """The first letter of each delivery's first recipient, as they began."""
        return "".join(recipients[0][0] for _, recipients in self.begun)

    def gaps(self):
        """Seconds from the end of one delivery to the beginning of the next."""
        return [begun - ended for (ended, _), (begun, _) in zip(self.ended, self.begun[1:])]

    def peak(self):
        return max(level for _, level in self.levels)

    def ended_at_level(self, level):
        """How many deliveries had ended when so many were under way for the first time."""
        return next((ended for ended, now in self.levels if now >= level), None)


class Scenario:
    """Mail over the transport `name`; domains a.NAME.example … lead to its hops."""

    def __init__(self, name, feed, before=None, hops=1, pause=0.0, is_gated=True, maxproc="-", **parameters):
        self.name, self.feed, self.before, self.hop_count = name, feed, before, hops
        self.pause, self.is_gated, self.maxproc = pause, is_gated, maxproc
        self.parameters = parameters


class Stage:
    """One scenario on one system."""

    def __init__(self, scenario, system=None):
        self.scenario, self.system = scenario, system
        self.hops = [Hop(scenario.pause, scenario.is_gated) for _ in range(scenario.hop_count)]
        self.ids = []

    def domain(self, hop=0):
        return f"{'abcdefgh'[hop]}.{self.scenario.name}.example"

    def put(self, *messages, hop=0, queue="incoming"):
        """Messages as "l120": 120 recipients l0, l1 …; waits until the queue manager has them all."""
        ids = []
        for message in messages:
            recipients = [f"{message[0]}{number}@{self.domain(hop)}" for number in range(int(message[1:]))]
            ids.append(put_queue_file(self.system, queue, queue_file_bytes("joe@a.example", recipients), mtime=time.time() - 9))
        wait_until(lambda: self._has_come(ids, queue), 30, f"active messages of {self.scenario.name}", 0.1)
        self.ids += ids

    def _has_come(self, ids, queue):
        """Debian's postkick may end by SIGPIPE when the queue manager has much to do: the word is given again until it has been heard."""
        active = set(re.findall(r": (\w+): from=<.*queue active", self.system.log.text()))
        if not active.issuperset(ids):
            self.system.run("postkick", "public", "qmgr", "I" if queue == "incoming" else "D", check=False)
        return active.issuperset(ids)

    def open(self):
        for hop in self.hops:
            hop.may_go_on.set()

    def wait(self, pattern=r"status=\w+", count=None, timeout=40):
        """Until so many recipients have a status; by default until all messages are gone."""
        if count is None:
            for queue_id in self.ids:
                self.system.log.wait_for(rf"{queue_id}: removed$", timeout)
        else:
            wait_until(lambda: self.system.log.count(rf"@\S*{self.scenario.name}\.example>.*{pattern}") >= count, timeout,
                       lambda: f"{count} of {pattern} in {self.scenario.name}")

    def close(self):
        for hop in self.hops:
            hop.may_go_on.set()
            hop.sink.close()


def behind_the_first(*messages):
    """The first message is under delivery while the others come."""
    def feed(stage):
        stage.put(messages[0])
        wait_until(lambda: stage.hops[0].begun, 20, "the first delivery")
        for message in messages[1:]:
            stage.put(message)
        stage.open()
        stage.wait()
    return feed


def to_each(*messages):
    """messages[i] to hop i, one after the other."""
    def feed(stage):
        for number, group in enumerate(messages):
            stage.put(*group, hop=number)
        stage.open()
        stage.wait()
    return feed


def singles(count):
    """So many small messages, all in the active queue and two under way before the first is through."""
    def feed(stage):
        stage.put(*["m1"] * count)
        wait_until(lambda: len(stage.hops[0].begun) >= 2, 20, "the first two deliveries")
        stage.open()
        stage.wait()
    return feed


def aged(stage):
    """A message of five deliveries comes before ten of one."""
    stage.put("l200")
    wait_until(lambda: stage.hops[0].begun, 20, "the first delivery")
    stage.put("m10")
    stage.put(*["s1"] * 10)
    stage.open()
    stage.wait()


def refused(count):
    """The hop turns every connection away, once all mail is in the active queue."""
    def feed(stage):
        stage.hops[0].sink.on("connect", lambda session: stage.hops[0].may_go_on.wait(40) and DEAD)
        stage.put(*["m1"] * count)
        stage.open()
        stage.wait("status=deferred", count)
    return feed


def for_both(stage):
    """One message of twenty deliveries, half of them to each hop."""
    recipients = [f"x{number}@{stage.domain(number % 2)}" for number in range(40)]
    stage.ids.append(put_queue_file(stage.system, "incoming", queue_file_bytes("joe@a.example", recipients)))
    stage.system.run("postkick", "public", "qmgr", "I", check=False)
    stage.wait()


def put_new_and_old(stage):
    """Three times as much new mail as the active queue holds, and as much that was deferred before."""
    for number in range(30):
        stage.ids += [put_queue_file(stage.system, queue, queue_file_bytes("joe@a.example", [f"{letter}{number}@{stage.domain()}"]),
                                     mtime=time.time() - 9) for queue, letter in (("incoming", "n"), ("deferred", "o"))]


def new_and_old(stage):
    wait_until(lambda: stage.hops[0].begun and len(stage.system.queue_ids("active")) >= 4, 20,
               lambda: f"mail in the active queue, has {stage.system.queue_counts()}; {stage.system.trouble()}")
    stage.open()
    stage.wait()


SERIAL = {"destination_concurrency_limit": 1, "destination_recipient_limit": 2}
PLAIN = {**SERIAL, "delivery_slot_loan": 0, "delivery_slot_discount": 0, "minimum_delivery_slots": 1}
SCENARIOS = [
    Scenario("slots", behind_the_first("l300", "s1", "s1", "s1"), **SERIAL),
    Scenario("nocost", behind_the_first("l60", "s1"), delivery_slot_cost=0, **SERIAL),
    Scenario("cost", behind_the_first("l120", "s6"), **{**PLAIN, "delivery_slot_cost": 10}),
    Scenario("discount", behind_the_first("l120", "s8"), **{**PLAIN, "delivery_slot_cost": 10, "delivery_slot_discount": 50}),
    Scenario("loan", behind_the_first("l120", "s8"), **{**PLAIN, "delivery_slot_cost": 10, "delivery_slot_loan": 2}),
    Scenario("minimum", behind_the_first("l60", "s1"), **{**PLAIN, "delivery_slot_cost": 5, "minimum_delivery_slots": 7}),
    Scenario("atleast", behind_the_first("l60", "s1"), **{**PLAIN, "delivery_slot_cost": 5, "minimum_delivery_slots": 6}),
    Scenario("equal", behind_the_first("l60", "s12"), **{**PLAIN, "delivery_slot_cost": 5, "delivery_slot_loan": 3}),
    Scenario("candidate", aged, **PLAIN),
    Scenario("large", behind_the_first("l200", "k200"), **SERIAL),
    Scenario("split", behind_the_first("l25"), destination_recipient_limit=10),
    Scenario("growth", singles(90), pause=0.3, initial_destination_concurrency=2, destination_concurrency_limit=10),
    Scenario("linear", singles(90), pause=0.3, initial_destination_concurrency=2, destination_concurrency_limit=10,
             destination_concurrency_positive_feedback="1/concurrency"),
    Scenario("dead", refused(12), initial_destination_concurrency=5),
    Scenario("single", refused(6), destination_concurrency_limit=1),
    Scenario("double", refused(6), destination_concurrency_limit=1, destination_concurrency_failed_cohort_limit=2),
    Scenario("cohorts", refused(20), initial_destination_concurrency=5, destination_concurrency_failed_cohort_limit=3),
    Scenario("gentle", refused(40), initial_destination_concurrency=5, destination_concurrency_failed_cohort_limit=3,
             destination_concurrency_negative_feedback="1/concurrency"),
    Scenario("rate", to_each(["m1"] * 3, ["m1"] * 3), hops=2, is_gated=False, destination_rate_delay="1s"),
    Scenario("total", to_each(["m1"], ["m1"], ["m1"], ["m1"]), hops=4, is_gated=False, transport_rate_delay="1s"),
    Scenario("peers", for_both, hops=2, is_gated=False, maxproc="1", destination_recipient_limit=2),
    Scenario("turns", to_each(["m1"] * 30, ["n1"] * 3), hops=2, maxproc="2", pause=0.03),
]


SHARED = Scenario("shared", new_and_old, before=put_new_and_old, pause=0.02, destination_concurrency_limit=1)  # on an instance of its own


def start(flavour, folder, stages, main):
    system = Instance(folder, flavour=flavour, rows=[f"{s.scenario.name} unix - - n - {s.scenario.maxproc} smtp" for s in stages], main={
        "minimal_backoff_time": "600s", "maximal_backoff_time": "600s", "queue_run_delay": "600s", **main,
        **{f"{s.scenario.name}_{suffix}": value for s in stages for suffix, value in s.scenario.parameters.items()}})
    system.main["transport_maps"] = system.table("transport", "".join(
        f"{stage.domain(number)} {stage.scenario.name}:{hop.sink.nexthop}\n" for stage in stages for number, hop in enumerate(stage.hops)))
    system.write()
    for stage in stages:
        stage.system = system
        if stage.scenario.before:
            stage.scenario.before(stage)
    return system.start()


def perform(flavour, folder, scenarios, **main):
    """{name: its stage, played to the end}."""
    stages = [Stage(scenario) for scenario in scenarios]
    system = None
    try:
        system = start(flavour, folder, stages, main)
        with ThreadPoolExecutor(len(stages)) as pool:
            list(pool.map(lambda stage: stage.scenario.feed(stage), stages))
        return {stage.scenario.name: stage for stage in stages}
    finally:
        for stage in stages:
            stage.close()
        if system:
            system.stop()


@pytest.fixture(scope="module")
def played(tmp_path_factory, flavour):
    """(Debian's stages, ours), by scenario."""
    found = debian_commands(tmp_path_factory.mktemp("debian"))
    if found is None:
        pytest.skip("Debian's postfix package cannot be downloaded")
    folder = Path(tempfile.mkdtemp(prefix="dromos-", dir=os.environ.get("DROMOS_TEST_TMP", "/tmp")))
    os.chmod(folder, 0o755)

    def play(one):
        name = one.name[0]
        return {**perform(one, folder / name, SCENARIOS), **perform(one, folder / f"{name}s", [SHARED], qmgr_message_active_limit=10)}
    try:
        with ThreadPoolExecutor(2) as pool:
            yield list(pool.map(play, (postfix_flavour(found.commands.parents[1]), flavour)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name, places", [
    ("slots", [1, 7, 13]),            # the loan lets the first one go early; each of the next waits until the account is settled
    ("nocost", [30]),
    ("cost", [30, 31, 32]),           # three deliveries for thirty of the large message
    ("discount", [20, 21, 22, 23]),   # two of the four slots are enough
    ("loan", [20, 21, 22, 23]),       # two are lent
    ("minimum", [30]),                # the large message earns six slots in all, and it should be seven
    ("atleast", [5]),
    ("equal", [15, 16, 17, 18, 19, 20]),
    ("candidate", [5, 11, 17, 23, 29, 35, 41, 47, 53, 59]),
])
def test_who_goes_ahead(played, name, places):
    """Where the deliveries of the small messages come among those of the large one, one delivery at a time: exact, as nothing races."""
    for stage in played:
        order = stage[name].hops[0].order()
        assert [at for at, letter in enumerate(order) if letter == "s"] == places, order


def test_candidate_of_several_deliveries_goes_ahead_in_one_piece(played):
    theirs, ours = (stage["candidate"].hops[0].order() for stage in played)
    assert theirs.count("m") == 5 and "mmmmm" in theirs and ours == theirs


def test_large_messages_go_one_after_the_other(played):
    for stage in played:
        assert stage["large"].hops[0].order() == "l" * 100 + "k" * 100


def test_recipient_limit_splits(played):
    for stage in played:
        assert sorted(len(recipients) for _, recipients in stage["split"].hops[0].begun) == [5, 10, 10]


@pytest.mark.parametrize("name, successes, latest", [
    ("growth", [0, 1, 2, 3, 4, 5, 6], 26),     # each success opens the window by one
    ("linear", [0, 2, 5, 9, 14, 20, 27], 70),  # with feedback 1/concurrency a whole cohort does: 2, 2 + 3, 2 + 3 + 4 …
])
def test_growth_of_concurrency(played, name, successes, latest):
    """From two at once to ten. Never earlier than so many successes allow: that is exact. Later, as a delivery counts here only when
    it has sent its recipients, and Debian starts processes for it; but eight at once come earlier by 1 than 1/concurrency allows."""
    for stage in played:
        hop = stage[name].hops[0]
        assert hop.levels[:2] == [(0, 1), (0, 2)] and 8 <= hop.peak() <= 10, hop.levels
        for level, least in enumerate(successes, 2):
            assert least <= hop.ended_at_level(level) <= latest, (level, hop.levels)


@pytest.mark.parametrize("name, attempts, spread", [
    ("single", 1, 0),
    ("double", 2, 0),
    ("dead", 4, 1),      # 1/5 + 1/4 + 1/3 + 1/2. All five may have begun before the first fails
    ("cohorts", 6, 1),   # … + 1 + 1. Debian's first failure takes two off the window, so that the sum is reached earlier
    ("gentle", 10, 1),   # windows 5, 4 4 4 4, 3 3 3, 2 2: the step down comes first. One more may have begun when the last fails
])
def test_attempts_until_a_destination_is_dead(played, name, attempts, spread):
    for stage in played:
        one = stage[name]
        assert abs(one.hops[0].sink.connections - attempts) <= spread, one.system.flavour.name
        suspended = one.system.log.count(rf"\.{name}\.example>.*status=deferred \(delivery temporarily suspended: ")
        assert suspended + one.hops[0].sink.connections == len(one.ids), one.system.flavour.name


def test_rate_delay_of_destinations(played):
    """A second between the deliveries to one destination, whatever the other one does. The clocks of the test and of the queue
    manager see the end of a delivery at different times: Debian counts whole seconds."""
    for stage in played:
        first, second = stage["rate"].hops
        for hop in (first, second):
            assert hop.peak() == 1 and all(0 < gap < 3 for gap in hop.gaps()), hop.gaps()
            assert hop.begun[2][0] - hop.begun[0][0] > 1
        assert second.begun[0][0] < first.begun[-1][0] and first.begun[0][0] < second.begun[-1][0]
    for hop in played[1]["rate"].hops:
        assert all(0.95 < gap < 1.5 for gap in hop.gaps()), hop.gaps()


def test_rate_delay_of_a_transport(played):
    """A second between the beginnings, to four destinations; the time to reach a next hop varies."""
    for stage in played:
        times = sorted(hop.begun[0][0] for hop in stage["total"].hops)
        assert times[3] - times[0] > 2.4 and times[2] - times[0] > 1.2 and times[3] - times[1] > 1.2, times


def test_destinations_of_a_message_take_turns(played):
    """One process, one message for two destinations."""
    for stage in played:
        first, second = stage["peers"].hops
        order = "".join(name for _, name in sorted([(at, "a") for at, _ in first.begun] + [(at, "b") for at, _ in second.begun]))
        assert len(order) == 20 and re.fullmatch("(ab|ba)*", order), order


def test_destinations_of_messages_take_turns(played):
    """Three messages for a destination come behind thirty for another one, with two processes for both. Debian keeps to the order of
    the messages; with ours they do not wait for all."""
    for stage in played:
        many, few = stage["turns"].hops
        assert many.peak() <= 2 and (len(many.begun), len(few.begun)) == (30, 3)
    many, few = played[1]["turns"].hops
    before = sum(begun < few.begun[-1][0] for begun, _ in many.begun)
    assert before <= 12, before


def test_new_and_deferred_mail_share_the_active_queue(played):
    """Neither waits for half of the other. Later Debian takes what is left of the new mail first; ours goes on to alternate."""
    for stage in played:
        order = stage["shared"].hops[0].order()
        assert Counter(order) == {"n": 30, "o": 30}
        assert order.index("n") < 15 and order.index("o") < 15, order
    order = played[1]["shared"].hops[0].order()
    assert min(order[:40].count("n"), order[:40].count("o")) >= 12, order
