"""The journal: what is in it is on disk, what was cut off shows, what is broken is refused by its line."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.engine.journal import Journal, JournalError, read_journal
from ilora_diag.engine.outcome import ChildSpec
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import Intent, Status, Trial, to_json

INTENT = Intent(id="T-01", probe="train", requested=(("train.lr", 0.1),), started_at=1.0)
TRIAL = Trial(
    id="T-01",
    probe="train",
    requested=INTENT.requested,
    effective=(),
    status=Status.OK,
    started_at=1.0,
    seconds=2.0,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.jsonl"


@contextmanager
def disk_full_beyond(num_bytes: int) -> Iterator[None]:
    """Files of this process cannot grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read_back_in_order(path: Path) -> None:
    second = replace(INTENT, id="T-02")
    with Journal(path) as journal:
        journal.announce(INTENT)
        journal.record(TRIAL)
        journal.announce(second)
    content = read_journal(path)
    assert (content.intents, content.trials, content.num_torn_bytes) == ((INTENT, second), (TRIAL,), 0)
    assert content.unfinished == (second,)


def test_an_intent_is_on_disk_before_the_trial_runs(path: Path) -> None:
    with Journal(path) as journal:
        journal.announce(INTENT)
        assert path.read_text() == to_json(INTENT) + "\n"
        journal.record(TRIAL)
        assert path.read_text() == to_json(INTENT) + "\n" + to_json(TRIAL) + "\n"


def test_each_line_is_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(path.read_bytes())
        real(descriptor)

    with Journal(path) as journal:
        monkeypatch.setattr(os, "fsync", fsync)
        journal.announce(INTENT)
        journal.record(TRIAL)
    assert [content.count(b"\n") for content in synced] == [1, 2]


@pytest.mark.parametrize("num_kept", [0, 1, 40, len(to_json(TRIAL)) - 1, len(to_json(TRIAL))])
def test_a_line_torn_anywhere_is_no_content_and_does_not_spoil_the_next(path: Path, num_kept: int) -> None:
    with Journal(path) as journal:
        journal.announce(INTENT)
    whole = path.read_bytes()
    path.write_bytes(whole + to_json(TRIAL).encode()[:num_kept])
    content = read_journal(path)
    assert (content.unfinished, content.trials, content.num_torn_bytes) == ((INTENT,), (), num_kept)
    with Journal(path) as journal:
        assert path.read_bytes() == whole
        assert journal.next_id() == "T-02"
        journal.record(TRIAL)
    assert read_journal(path).trials == (TRIAL,)


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        ("{", "line 2: document is b'{': allowed is JSON"),
        ("", "line 2: document is b'': allowed is JSON"),
        ("7", "line 2: schema is None: allowed is ilora-diag/intent or ilora-diag/trial"),
        ('{"schema": "ilora-diag/report"}', "line 2: schema is 'ilora-diag/report'"),
        (to_json(TRIAL).replace('"ok"', '"fine"'), "line 2: status is 'fine'"),
        (to_json(TRIAL).replace('"1.0"', '"2.0"'), "line 2: schema_version is '2.0'"),
        (to_json(INTENT), "line 2: T-01 stands there for the second time"),
        (to_json(replace(TRIAL, id="T-09")), "line 2: it ends T-09, which was never announced"),
    ],
    ids=["cut", "empty", "no object", "foreign", "bad status", "newer", "twice", "unannounced"],
)
def test_a_corrupt_line_in_the_middle_is_refused_with_its_number(path: Path, line: str, trouble: str) -> None:
    path.parent.mkdir()
    path.write_text(f"{to_json(INTENT)}\n{line}\n{to_json(TRIAL)}\n")
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert trouble in str(caught.value)
    assert str(path) in str(caught.value)
    before = path.read_bytes()
    with pytest.raises(JournalError):
        Journal(path)
    assert path.read_bytes() == before


def test_a_trial_that_ended_twice_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(f"{to_json(INTENT)}\n{to_json(TRIAL)}\n{to_json(TRIAL)}\n")
    with pytest.raises(JournalError, match="line 3: T-01 stands there for the second time"):
        read_journal(path)


def test_ids_go_on_where_an_earlier_process_stopped(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.next_id() == "T-01"
        journal.announce(replace(INTENT, id="T-02"))
        assert journal.next_id() == "T-03"
    with Journal(path) as journal:
        assert journal.next_id() == "T-03"


def test_a_second_writer_is_refused_while_the_first_is_there(path: Path) -> None:
    with Journal(path), pytest.raises(JournalError, match="is being written by another process"):
        Journal(path)
    Journal(path).close()


def test_a_full_disk_raises_and_leaves_whole_lines_only(path: Path) -> None:
    with Journal(path) as journal:
        journal.announce(INTENT)
        whole = path.read_bytes()
        with disk_full_beyond(len(whole) + 20), pytest.raises(OSError, match="File too large"):
            journal.record(TRIAL)
        assert path.read_bytes() == whole
        journal.record(TRIAL)
    assert read_journal(path).trials == (TRIAL,)


def test_a_missing_journal_is_a_file_that_cannot_be_read(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_journal(path)


WRITER = """
import os, signal, sys, threading, time
from dataclasses import replace
from pathlib import Path
from ilora_diag.engine.journal import Journal
from ilora_diag.schema import Intent

def die() -> None:
    time.sleep(float(sys.argv[2]))
    os.kill(os.getpid(), signal.SIGKILL)

intent = Intent(id="T-01", probe="p", requested=(("padding", "x" * 5000),), started_at=0.0)
with Journal(Path(sys.argv[1])) as journal:
    threading.Thread(target=die).start()
    while True:
        journal.announce(replace(intent, id=journal.next_id()))
"""


def test_killing_the_writer_at_any_moment_leaves_a_readable_journal(path: Path) -> None:
    before = 0
    for seconds in ("0.003", "0.011", "0.02"):
        argv = (sys.executable, "-P", "-c", WRITER, str(path), seconds)
        outcome = run_child(ChildSpec(argv=argv, deadline_s=60, expects_document=False))
        assert outcome.signal == "SIGKILL", outcome.stderr.text
        intents = read_journal(path).intents
        assert len(intents) > before
        assert [intent.id for intent in intents] == [f"T-{number:02d}" for number in range(1, len(intents) + 1)]
        before = len(intents)
