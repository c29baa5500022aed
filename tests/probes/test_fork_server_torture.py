"""Children forked by a server, misbehaving: supervised as any other child, and the server survives them."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.engine.fork_server import ForkServer, ServerError, is_supported
from ilora_diag.engine.outcome import ChildOutcome, ChildSpec, ChildStatus, Grace
from ilora_diag.engine.runner import run_child
from ilora_diag.engine.supervise import Poll

pytestmark = pytest.mark.skipif(not is_supported(), reason="fork servers need Linux")

TORTURE = Path(__file__).with_name("torture")
SERVER = (sys.executable, "-S", "-E", str(TORTURE / "serve.py"))
DEADLINE_S = 1.0
QUICK = Grace(interrupt_s=5.0, terminate_s=0.3, kill_s=5.0, leftover_s=0.2)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    made = ForkServer(SERVER)
    made.start()
    yield made
    made.close()


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pids"
    yield path
    for pid in read_pids(path) if path.exists() else []:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def read_pids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def run(
    server: ForkServer, program: str, *args: str, poll: Poll | None = None, spec: ChildSpec | None = None
) -> ChildOutcome:
    request = {"program": str(TORTURE / f"{program}.py"), "args": args}
    spec = spec or ChildSpec(argv=("served",), deadline_s=20.0, grace=QUICK)
    return run_child(spec, poll, server.launcher(request))


def ending(outcome: ChildOutcome) -> tuple[ChildStatus, int | None, str | None, str | None, int]:
    return outcome.status, outcome.exit_code, outcome.signal, outcome.document, outcome.num_leftovers


def test_a_forked_child_is_a_process_of_its_own(server: ForkServer, tmp_path: Path) -> None:
    outcome = run(server, "about", spec=ChildSpec(argv=("served",), deadline_s=20, grace=QUICK, cwd=str(tmp_path)))
    assert outcome.document is not None
    about = json.loads(outcome.document)
    assert about["leads_session"]
    assert about["leads_group"]
    assert about["marked"]  # the server's mark was written over where /proc shows the environment
    assert (about["stdin"], about["cwd"]) == ("", str(tmp_path))
    assert {0, 1, 2, about["answer"]} < set(about["fds"])
    assert len(about["fds"]) == 5  # and the listing itself
    assert (outcome.stdout.text, outcome.stderr.text) == ("on stdout\n", "on stderr")
    assert 0 < outcome.pid != server.pid


def test_a_segfault_takes_the_child_and_not_the_server(server: ForkServer) -> None:
    pid = server.pid
    outcome = run(server, "segfault")
    assert ending(outcome) == (ChildStatus.KILLED, None, "SIGSEGV", None, 0)
    assert (outcome.stdout.text, outcome.stderr.text) == ("about to die\n", "on stderr\n")
    assert ending(run(server, "answers", "0", "{}")) == (ChildStatus.OK, 0, None, "{}", 0)
    assert server.pid == pid


@pytest.mark.parametrize(
    ("program", "args", "status", "code"),
    [
        ("answers", ("7", '{"a": 1}'), ChildStatus.FAILED, 7),
        ("answers", ("0",), ChildStatus.SILENT, 0),
        ("answers", ("0", "{}", "{}"), ChildStatus.GARBLED, 0),
        ("garbage", (), ChildStatus.GARBLED, 0),
        ("no_such_program", (), ChildStatus.FAILED, 1),
    ],
    ids=["exit code", "silence", "two documents", "garbage", "exception"],
)
def test_what_a_forked_child_says_is_judged_as_ever(
    server: ForkServer, program: str, args: tuple[str, ...], status: ChildStatus, code: int
) -> None:
    outcome = run(server, program, *args)
    assert (outcome.status, outcome.exit_code, outcome.num_leftovers) == (status, code, 0)


def test_an_exception_is_printed_as_python_would(server: ForkServer) -> None:
    outcome = run(server, "no_such_program")
    assert "Traceback (most recent call last)" in outcome.stderr.text
    assert "FileNotFoundError" in outcome.stderr.text


def test_ten_megabytes_of_output_are_drained_and_bounded(server: ForkServer) -> None:
    spec = ChildSpec(argv=("served",), deadline_s=30, grace=QUICK, keep_head_bytes=1000, keep_tail_bytes=2000)
    outcome = run(server, "babble", spec=spec)
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"ok": true}', 0)
    for stream in (outcome.stdout, outcome.stderr):
        assert stream.num_bytes > 9_900_000
        assert stream.num_dropped_bytes == stream.num_bytes - 3000


@pytest.mark.parametrize(
    ("options", "signal_name"), [((), "SIGTERM"), (("own", "deaf"), "SIGKILL")], ids=["plain", "own session and deaf"]
)
def test_a_hang_costs_its_deadline_and_takes_the_grandchild_along(
    server: ForkServer, options: tuple[str, ...], signal_name: str, pids: Path
) -> None:
    spec = ChildSpec(argv=("served",), deadline_s=DEADLINE_S, grace=QUICK)
    outcome = run(server, "hang", str(pids), *options, spec=spec)
    assert ending(outcome) == (ChildStatus.TIMED_OUT, None, signal_name, None, 0)
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]


def test_a_stop_request_lets_the_child_answer(server: ForkServer, pids: Path) -> None:
    outcome = run(server, "hang", str(pids), "polite", poll=pids.exists)
    assert ending(outcome) == (ChildStatus.STOPPED, 3, None, '{"saved": true}', 0)


def test_a_few_children_left_behind_are_ended_and_counted(server: ForkServer) -> None:
    assert ending(run(server, "breed", "6")) == (ChildStatus.OK, 0, None, '{"bred": true}', 6)


def test_a_child_of_a_command_that_leaves_children_behind_is_cleaned_up_too() -> None:
    argv = (sys.executable, "-S", "-E", str(TORTURE / "breed.py"), "6")
    outcome = run_child(ChildSpec(argv=argv, deadline_s=20, grace=QUICK))
    assert ending(outcome) == (ChildStatus.OK, 0, None, '{"bred": true}', 6)


def test_memory_is_refused_beyond_the_limit_forked_or_not(server: ForkServer) -> None:
    limit = 300 << 20
    argv = (sys.executable, "-S", "-E", str(TORTURE / "hoard.py"))
    spec = ChildSpec(argv=argv, deadline_s=20, grace=QUICK, memory_limit_bytes=limit)
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10  # a child's figure begins with its parent's
    for outcome in (run(server, "hoard", spec=spec), run_child(spec)):
        assert ending(outcome) == (ChildStatus.FAILED, 1, None, None, 0)
        assert "MemoryError" in outcome.stderr.text
        assert isinstance(outcome.peak_rss_bytes, int)
        assert outcome.peak_rss_bytes < max(limit, ours) + (100 << 20)


def test_a_server_that_dies_takes_its_child_along_and_is_told(pids: Path) -> None:
    server = ForkServer(SERVER)
    server.start()
    launcher = server.launcher({"program": str(TORTURE / "hang.py"), "args": [str(pids), "deaf"]})

    def kill_server() -> bool:
        if pids.exists() and server.is_alive:
            os.kill(server.pid, signal.SIGKILL)
        return False

    outcome = run_child(ChildSpec(argv=("served",), deadline_s=20, grace=QUICK), kill_server, launcher)
    assert launcher.lost
    assert (outcome.status, outcome.signal) == (ChildStatus.KILLED, "SIGKILL")
    assert [is_running(pid) for pid in read_pids(pids)] == [False, False]
    assert not server.is_alive
    again = run(server, "answers", "0", "{}")
    assert again.status is ChildStatus.NOT_STARTED
    assert "the server does not run" in again.reason


def test_a_server_whose_observer_is_gone_ends_with_its_child(pids: Path) -> None:
    server = ForkServer(SERVER)
    server.start()
    pid = server.pid
    launcher = server.launcher({"program": str(TORTURE / "hang.py"), "args": [str(pids)]})
    outcome: list[ChildOutcome] = []
    spec = ChildSpec(argv=("served",), deadline_s=20, grace=QUICK)
    thread = threading.Thread(target=lambda: outcome.append(run_child(spec, None, launcher)))
    thread.start()
    while not pids.exists():
        time.sleep(0.02)
    server.close()  # the socket is closed, as when the observer is killed
    thread.join(20)
    assert outcome[0].status is ChildStatus.KILLED
    assert not is_running(pid)
    assert [is_running(one) for one in read_pids(pids)] == [False, False]


def test_a_refusal_to_fork_is_no_child() -> None:
    server = ForkServer((*SERVER, "--refuse", "CUDA is initialised"))
    server.start()
    assert server.ready["hello"] == "torture"
    outcome = run(server, "answers", "0", "{}")
    assert outcome.status is ChildStatus.NOT_STARTED
    assert "CUDA is initialised" in outcome.reason
    server.close()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("no-such-program",), "cannot start no-such-program"),
        ((sys.executable, "-S", "-c", "import no_such_module"), "the server has died: Traceback"),
    ],
    ids=["missing", "ends at once"],
)
def test_a_server_that_does_not_start_is_an_error_and_leaves_nothing(argv: tuple[str, ...], words: str) -> None:
    before = len(os.listdir("/dev/fd"))
    server = ForkServer(argv)
    with pytest.raises(ServerError, match=words):
        server.start()
    server.close()
    assert len(os.listdir("/dev/fd")) == before


def test_no_descriptor_and_no_thread_stays_behind(server: ForkServer) -> None:
    run(server, "answers", "0", "{}")
    descriptors, threads = len(os.listdir("/dev/fd")), threading.active_count()
    for _ in range(3):
        run(server, "answers", "0", "{}")
    assert (len(os.listdir("/dev/fd")), threading.active_count()) == (descriptors, threads)


def test_a_child_that_outlives_sigkill_costs_its_server(pids: Path) -> None:
    server = ForkServer(SERVER)
    server.start()
    grace = Grace(interrupt_s=0.1, terminate_s=0.1, kill_s=0.2, leftover_s=0.1)
    spec = replace(ChildSpec(argv=("served",), deadline_s=20), grace=grace)
    outcome = run(server, "undead", str(pids), poll=pids.exists, spec=spec)
    try:
        if outcome.exit_code == 77:
            pytest.skip("tracing another process is not permitted here")
        assert outcome.status is ChildStatus.UNKILLABLE
        again = run(server, "answers", "0", "{}")
        assert again.status is ChildStatus.NOT_STARTED
        assert "has not ended" in again.reason
    finally:
        server.close()
