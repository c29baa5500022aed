"""Other processes on real cards: what they held before and after a trial, and whether it was left in peace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ilora_diag.engine.gpu_neighbours import CardWatch, changed_bytes, neighbours, wait_until_gone
from ilora_diag.engine.outcome import Captured, ChildOutcome, ChildStatus
from ilora_diag.schema import Fact, Facts, Unavailable
from ilora_diag.schema.known import Known
from ilora_diag.schema.trial import Status, Trial

MIB = 1 << 20
OUTCOME = ChildOutcome(
    status=ChildStatus.OK,
    reason="ended well",
    document=None,
    exit_code=0,
    signal=None,
    stdout=Captured(),
    stderr=Captured(),
    started_at=0.0,
    seconds=1.0,
    peak_rss_bytes=1,
    num_leftovers=0,
)
KILLED = replace(OUTCOME, status=ChildStatus.KILLED, exit_code=None, signal="SIGKILL")
TRIAL = Trial(
    id="T-01",
    probe="trial",
    requested=(),
    effective=(),
    status=Status.OK,
    started_at=0.0,
    seconds=1.0,
)


def cards(*processes: dict[int, Known[int]]) -> Facts:
    """Facts of as many cards as there are dictionaries of process id to bytes."""
    facts = [Fact(path="nvml.device_count", value=len(processes), source="test")]
    for index, held in enumerate(processes):
        facts.append(Fact(path=f"gpu[{index}].num_processes", value=len(held), source="test"))
        for number, (pid, used) in enumerate(held.items()):
            path = f"gpu[{index}].process[{number}]"
            facts.append(Fact(path=f"{path}.pid", value=pid, source="test"))
            facts.append(Fact(path=f"{path}.used_memory_bytes", value=used, source="test"))
    return Facts(captured_at=0.0, facts=tuple(facts))


class Answers:
    """One set of facts after the other; the last one again and again."""

    def __init__(self, *facts: Facts) -> None:
        self._rest: Iterator[Facts] = iter(facts)
        self._last = facts[-1]

    def __call__(self) -> Facts:
        return next(self._rest, self._last)


def metrics(trial: Trial) -> dict[str, object]:
    return {one.name: one.value for one in trial.metrics}


def test_processes_of_all_cards_are_added_up() -> None:
    found = neighbours(Answers(cards({7: 5 * MIB, 8: MIB}, {7: 2 * MIB})))
    assert (found.pids, found.total_bytes) == (frozenset({7, 8}), 8 * MIB)


def test_what_nvml_does_not_tell_is_unknown_and_no_zero() -> None:
    hidden = Unavailable(reason="absent: NVML tells no memory of this process")
    assert neighbours(Answers(cards({7: hidden, 8: MIB}))).total_bytes == hidden
    nothing = neighbours(Answers(Facts(captured_at=0.0, facts=())))
    assert isinstance(nothing.total_bytes, Unavailable)
    assert isinstance(changed_bytes(nothing, nothing), Unavailable)


def test_a_trial_left_in_peace_keeps_its_outcome_and_gets_the_bytes() -> None:
    watch = CardWatch(Answers(cards({7: 500 * MIB}), cards({7: 500 * MIB})), release_s=0)
    trial, notes = watch.judge(TRIAL, OUTCOME)
    assert (trial.status, notes) == (Status.OK, ())
    assert metrics(trial) == {
        "other_processes_before_bytes": 500 * MIB,
        "other_processes_after_bytes": 500 * MIB,
    }


def test_a_neighbour_that_grew_makes_the_outcome_doubtful_beyond_64_mib() -> None:
    near = CardWatch(Answers(cards({7: 500 * MIB}), cards({7: 564 * MIB})), release_s=0)
    assert near.judge(TRIAL, OUTCOME)[0].status is Status.OK
    beyond = CardWatch(Answers(cards({7: 500 * MIB}), cards({7: 565 * MIB})), release_s=0)
    trial, _ = beyond.judge(TRIAL, OUTCOME)
    assert trial.status is Status.CONTAMINATED
    assert trial.reason == "other processes held 65 MiB more after the trial; it ended as ok"


def test_a_neighbour_that_left_makes_it_doubtful_too() -> None:
    watch = CardWatch(Answers(cards({7: 500 * MIB}), cards({})), release_s=0)
    assert watch.judge(TRIAL, OUTCOME)[0].status is Status.CONTAMINATED


def test_a_killed_process_is_waited_for_until_nvml_lists_it_no_more() -> None:
    before = cards({7: MIB})
    watch = CardWatch(Answers(before, cards({7: MIB, 99: 9000 * MIB}), before), release_s=5)
    trial, notes = watch.judge(TRIAL, KILLED)
    assert (trial.status, notes) == (Status.OK, ())


def test_a_card_that_is_not_released_is_said() -> None:
    stuck = cards({7: MIB, 99: 9000 * MIB})
    watch = CardWatch(Answers(cards({7: MIB}), stuck), release_s=0)
    trial, notes = watch.judge(TRIAL, KILLED)
    assert trial.status is Status.CONTAMINATED
    assert notes[0].startswith("GPU_NOT_RELEASED: 0 s after the trial was killed")


def test_what_never_started_is_not_asked_about() -> None:
    watch = CardWatch(Answers(cards({})), release_s=0)
    skipped = replace(TRIAL, status=Status.SKIPPED, reason="cannot start")
    assert watch.judge(skipped, replace(OUTCOME, status=ChildStatus.NOT_STARTED)) == (skipped, ())


def test_waiting_tells_who_is_there_at_last() -> None:
    before = neighbours(Answers(cards({7: MIB})))
    now, all_gone = wait_until_gone(before, Answers(cards({8: MIB})), seconds=0)
    assert (now.pids, all_gone) == (frozenset({8}), False)
