"""The runner against children that misbehave, each in its own way. Every outcome is asserted in full."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.engine.outcome import Captured, ChildOutcome, ChildSpec, ChildStatus, Grace, python_argv
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import Unavailable

TORTURE = Path(__file__).with_name("torture")
DEADLINE_S = 1.2  # of the children that hang: long enough to start on a busy machine
QUICK = Grace(interrupt_s=5.0, terminate_s=0.3, kill_s=5.0, leftover_s=0.2)
linux_only = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc to see other processes")


def spec(program: str, *args: str, deadline_s: float = 20.0) -> ChildSpec:
    # -S -E: no site-packages, so that thirty interpreters start within the suite's budget
    argv = (sys.executable, "-S", "-E", str(TORTURE / f"{program}.py"), *args)
    return ChildSpec(argv=argv, deadline_s=deadline_s, grace=QUICK)


def ending(outcome: ChildOutcome) -> tuple[ChildStatus, int | None, str | None, str | None, int]:
    return outcome.status, outcome.exit_code, outcome.signal, outcome.document, outcome.num_leftovers


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie: in a container nobody may reap orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """Where a hanging program writes its process ids; whatever a failed test leaves behind is killed."""
    path = tmp_path / "pids"
    yield path
    for pid in read_pids(path) if path.exists() else []:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def read_pids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def test_an_answer_is_taken_from_the_descriptor_and_not_from_stdout() -> None:
    outcome = run_child(spec("answers", "0", '{"a": 1}\n'))
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"a": 1}\n', 0)
    assert (outcome.stdout, outcome.stderr) == (Captured(), Captured())
    assert not isinstance(outcome.peak_rss_bytes, Unavailable)
    assert outcome.peak_rss_bytes > 1 << 20
    assert 0 < outcome.seconds < 20


def test_a_module_runs_by_its_name_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the working directory shadows the library')")
    argv = python_argv("json.tool", "--help")
    outcome = run_child(ChildSpec(argv=argv, deadline_s=20, cwd=str(tmp_path), expects_document=False))
    assert ending(outcome) == (ChildStatus.OK, 0, None, None, 0)
    assert "usage" in outcome.stdout.text


def test_a_segfault_is_named_and_its_last_words_are_kept() -> None:
    outcome = run_child(spec("segfault"))
    assert ending(outcome) == (ChildStatus.KILLED, None, "SIGSEGV", None, 0)
    assert outcome.reason == "killed by SIGSEGV"
    assert (outcome.stdout.text, outcome.stderr.text) == ("about to die\n", "on stderr\n")


def test_a_non_zero_exit_keeps_the_document() -> None:
    assert ending(run_child(spec("answers", "7", '{"a": 1}'))) == (ChildStatus.FAILED, 7, None, '{"a": 1}', 0)


def test_silence_is_no_answer_unless_none_was_expected() -> None:
    quiet = spec("answers", "0")
    assert ending(run_child(quiet)) == (ChildStatus.SILENT, 0, None, None, 0)
    assert ending(run_child(replace(quiet, expects_document=False))) == (ChildStatus.OK, 0, None, None, 0)


@pytest.mark.parametrize(
    ("texts", "trouble"),
    [
        (["{"], "the document is b'{': allowed is JSON (Expecting property name"),
        (['{"a": 1}', '{"b": 2}'], "allowed is JSON (Extra data"),
        (["[1]"], "the document is JSON, but a list and no object"),
        (['{"a": NaN}'], "NaN is not JSON"),
        (["[" * 100_000], "allowed is JSON nested less deeply"),
    ],
    ids=["cut", "two", "no object", "nan", "deep"],
)
def test_anything_but_one_json_object_is_garbled(texts: list[str], trouble: str) -> None:
    outcome = run_child(spec("answers", "0", *texts))
    assert ending(outcome) == (ChildStatus.GARBLED, 0, None, None, 0)
    assert trouble in outcome.reason


def test_bytes_that_are_no_text_are_garbled() -> None:
    assert ending(run_child(spec("garbage"))) == (ChildStatus.GARBLED, 0, None, None, 0)


def test_a_huge_document_is_read_to_its_end_and_refused() -> None:
    outcome = run_child(replace(spec("huge_document", "50"), max_document_bytes=1 << 20))
    assert ending(outcome) == (ChildStatus.GARBLED, 0, None, None, 0)
    assert outcome.reason == f"the document has {(50 << 20) + 9} bytes, more than the {1 << 20} allowed"
    assert outcome.stdout.text == "taken\n"


def test_a_document_within_the_limit_arrives_whole() -> None:
    outcome = run_child(spec("huge_document", "8"))
    assert outcome.status is ChildStatus.OK
    assert outcome.document is not None
    assert len(outcome.document) == (8 << 20) + 9


def test_ten_megabytes_on_both_streams_are_drained_and_bounded() -> None:
    outcome = run_child(replace(spec("babble"), keep_head_bytes=1000, keep_tail_bytes=2000))
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"ok": true}', 0)
    for stream, name in ((outcome.stdout, "o"), (outcome.stderr, "e")):
        num_bytes = 10_000_000 // (64 * 256) * 64 * 256 + len("first of x\n") + len("last of x\n")
        assert (stream.num_bytes, stream.num_dropped_bytes) == (num_bytes, num_bytes - 3000)
        assert (len(stream.head), len(stream.tail)) == (1000, 2000)
        assert stream.head.startswith(f"first of {name}\n")
        assert stream.tail.endswith(f"last of {name}\n")
        assert f"... {num_bytes - 3000} bytes dropped ..." in stream.text


@linux_only
@pytest.mark.parametrize(
    ("options", "signal_name"),
    [([], "SIGTERM"), (["own", "deaf"], "SIGKILL")],
    ids=["plain", "own session and deaf to TERM"],
)
def test_a_hang_costs_its_deadline_and_takes_the_grandchild_along(
    options: list[str], signal_name: str, pids: Path
) -> None:
    outcome = run_child(spec("hang", str(pids), *options, deadline_s=DEADLINE_S))
    assert ending(outcome) == (ChildStatus.TIMED_OUT, None, signal_name, None, 0)
    assert outcome.reason == f"still running after its {DEADLINE_S:g} s"
    assert outcome.stdout.text == "hanging\n"
    assert DEADLINE_S <= outcome.seconds < 5
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


@linux_only
@pytest.mark.parametrize("options", [[], ["own"], ["own", "deaf"]], ids=["group", "own session", "own and deaf"])
def test_a_grandchild_that_outlives_its_parent_is_ended_and_does_not_hold_the_answer_back(
    options: list[str], pids: Path
) -> None:
    outcome = run_child(spec("hang", str(pids), "orphan", *options))
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"ok": true}', 1)
    assert outcome.seconds < 5
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


@linux_only
def test_a_stranger_holding_every_descriptor_does_not_block_the_runner(pids: Path) -> None:
    begin = time.monotonic()
    outcome = run_child(spec("hang", str(pids), "detached"))
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"ok": true}', 0)
    assert time.monotonic() - begin < 5
    assert [is_running(pid) for pid in read_pids(pids)] == [False, True]  # beyond reach, and left alone


@linux_only
def test_closing_the_descriptor_early_ends_the_document_and_not_the_child(pids: Path) -> None:
    outcome = run_child(spec("hang", str(pids), "early", deadline_s=DEADLINE_S))
    assert ending(outcome) == (ChildStatus.TIMED_OUT, None, "SIGTERM", '{"ok": true}', 0)
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


@linux_only
def test_a_stop_request_lets_the_child_save_and_answer(pids: Path) -> None:
    outcome = run_child(spec("hang", str(pids), "polite"), poll=pids.exists)
    assert ending(outcome) == (ChildStatus.STOPPED, 3, None, '{"saved": true}', 0)
    assert outcome.reason == "stopped on request"
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


@linux_only
def test_ctrl_c_in_the_observer_is_a_stop_request(pids: Path) -> None:
    def press() -> None:
        while not pids.exists():
            time.sleep(0.02)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    outcome = run_child(spec("hang", str(pids), "polite"))
    presser.join()
    assert ending(outcome) == (ChildStatus.STOPPED, 3, None, '{"saved": true}', 0)


def test_a_second_ctrl_c_does_not_wait_for_the_grace_of_the_first(pids: Path) -> None:
    presses = iter(range(1000))

    def impatient() -> bool:
        if pids.exists() and next(presses) < 3:
            raise KeyboardInterrupt
        return False

    patient = Grace(interrupt_s=60, terminate_s=60, kill_s=5, leftover_s=0.2)
    deaf_to_interrupt = replace(spec("hang", str(pids), "deaf"), grace=patient)
    begin = time.monotonic()
    outcome = run_child(deaf_to_interrupt, poll=impatient)
    assert outcome.status is ChildStatus.STOPPED
    assert time.monotonic() - begin < 10


@linux_only
def test_an_error_in_the_callback_ends_the_child_and_goes_on_up(pids: Path) -> None:
    def broken() -> bool:
        if pids.exists():
            raise ZeroDivisionError
        return False

    with pytest.raises(ZeroDivisionError):
        run_child(spec("hang", str(pids)), poll=broken)
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


@linux_only
def test_a_child_that_outlives_sigkill_is_left_behind(pids: Path) -> None:
    grace = Grace(interrupt_s=0.1, terminate_s=0.1, kill_s=0.2, leftover_s=0.1)
    begin = time.monotonic()
    outcome = run_child(replace(spec("undead", str(pids)), grace=grace), poll=pids.exists)
    if outcome.exit_code == 77:
        pytest.skip("tracing another process is not permitted here")
    assert ending(outcome) == (ChildStatus.UNKILLABLE, None, None, None, 0)
    assert outcome.reason == "the process outlived SIGKILL and was left behind"
    assert isinstance(outcome.peak_rss_bytes, Unavailable)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("argv", "word"),
    [(("no-such-program",), "No such file"), (("/",), "denied"), (("a\0b",), "null byte")],
    ids=["missing", "a folder", "null byte"],
)
def test_what_cannot_start_is_an_outcome_too(argv: tuple[str, ...], word: str) -> None:
    before = len(os.listdir("/dev/fd"))
    outcome = run_child(ChildSpec(argv=argv, deadline_s=5))
    assert ending(outcome) == (ChildStatus.NOT_STARTED, None, None, None, 0)
    assert word in outcome.reason
    assert len(os.listdir("/dev/fd")) == before


def test_a_missing_working_directory_is_an_outcome_too(tmp_path: Path) -> None:
    outcome = run_child(replace(spec("answers", "0"), cwd=str(tmp_path / "gone")))
    assert outcome.status is ChildStatus.NOT_STARTED
    assert "gone" in outcome.reason


def test_the_environment_is_inherited_with_additions_and_removals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORTURE_KEPT", "kept")
    monkeypatch.setenv("TORTURE_REMOVED", "there")
    program = "import os; print(*(os.environ.get(f'TORTURE_{x}') for x in ('KEPT', 'REMOVED', 'ADDED')))"
    changes = (("TORTURE_REMOVED", None), ("TORTURE_ADDED", "added"))
    argv = (sys.executable, "-S", "-E", "-c", program)
    outcome = run_child(ChildSpec(argv=argv, deadline_s=20, env=changes, expects_document=False))
    assert outcome.stdout.text == "kept None added\n"


def test_no_descriptor_and_no_thread_stays_behind() -> None:
    run_child(spec("answers", "0"))  # whatever is made once is made now
    descriptors, threads = len(os.listdir("/dev/fd")), threading.active_count()
    for _ in range(3):
        run_child(spec("answers", "0"))
    assert (len(os.listdir("/dev/fd")), threading.active_count()) == (descriptors, threads)


def test_children_may_run_side_by_side() -> None:
    outcomes: list[ChildOutcome] = []

    def one(number: int) -> None:
        outcomes.append(run_child(spec("answers", "0", f'{{"n": {number}}}')))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome.document or "" for outcome in outcomes) == [f'{{"n": {number}}}' for number in range(4)]
