"""From a run folder to a report, whatever state the folder is in; and whether a written report still holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.engine.events import Event
from ilora_diag.engine.redact import Identity
from ilora_diag.engine.report_check import check_report
from ilora_diag.engine.run_folder import PreparedRun, TrainRequest, prepare_run
from ilora_diag.engine.runlog import RunFolderError
from ilora_diag.engine.train_report import build_report, loss_change
from ilora_diag.engine.train_watch import watch
from ilora_diag.schema import Report, Status, TrainRun, TrainState, Unavailable, from_json
from reports.markdown import MarkdownRenderer
from reports.view import headline
from reports.write import write_report

Trainer = Callable[[str], tuple[str, ...]]
NOBODY = Identity(home="/", user="", host="")


class Silent:
    def take(self, events: Iterable[Event]) -> None: ...

    def stopping(self) -> None: ...


def _build(folder: Path, identity: Identity = NOBODY) -> Report:
    return build_report(folder, now=7.0, tool_version="0.1.0", identity=identity)


def _train(report: Report) -> TrainRun:
    assert report.train is not None
    return report.train


@pytest.fixture
def written(prepared: PreparedRun, fake_trainer: Trainer, healthy: str) -> Path:
    """The folder of a healthy run with its report."""
    watch(prepared, fake_trainer(healthy), Silent())
    write_report(_build(prepared.folder), prepared.folder, "en")
    return prepared.folder


def test_a_healthy_run_is_told_in_one_line(written: Path) -> None:
    assert headline(_build(written), "en") == (
        "trained 20 steps: loss 3.85 -> 2.05, HR@1 (scoring) 0.50 [0.30, 0.70] on 20 test samples"
    )


def test_a_training_on_a_virtual_card_is_told_by_its_memory_and_not_by_numbers_nobody_computed(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    card = """
log("environment", device="cuda", device_name="virtual Tesla T4")
memory = {"allocated_bytes": 1 << 20, "reserved_bytes": 1 << 21}
log("phase", phase="build", status="end", seconds=0.1, rss_bytes=1, rss_peak_bytes=1,
    device={**memory, "peak_allocated_bytes": 3 << 20, "peak_reserved_bytes": 4 << 20})
"""
    watch(prepared, fake_trainer(card + healthy), Silent())
    report = _build(prepared.folder)
    assert headline(report, "en") == (
        "trained 20 steps on a virtual Tesla T4, which computes memory and no values: "
        "at most 3.00 MiB allocated, 4.00 MiB reserved"
    )
    text = MarkdownRenderer("en").render(report)
    assert "every loss, metric and time below means nothing" in text
    assert "HR@1" not in headline(report, "ja")


def test_what_auto_came_to_stands_in_the_effective_configuration(written: Path) -> None:
    run = _train(_build(written))
    assert not isinstance(run.effective, Unavailable)
    effective = dict(run.effective)
    assert (effective["train.precision"], effective["--device"], effective["train.max_steps"]) == ("fp32", "cpu", 20)


def test_on_a_cpu_device_memory_is_missing_for_that_reason(written: Path) -> None:
    phase = _train(_build(written)).phases[0]
    assert phase.device == Unavailable(reason="the run used no CUDA device", source="runlog.jsonl:1")


def test_checkpoints_that_made_room_for_newer_ones_are_not_linked(
    prepared: PreparedRun, fake_trainer: Trainer, healthy: str
) -> None:
    watch(prepared, fake_trainer(f"{healthy}\nlog('checkpoint', step=10, path='checkpoints/step-000010')"), Silent())
    assert [checkpoint.step for checkpoint in _train(_build(prepared.folder)).checkpoints] == [20]


def test_every_attempt_has_its_trial(prepared: PreparedRun, fake_trainer: Trainer, healthy: str) -> None:
    watch(prepared, fake_trainer("os.kill(os.getpid(), signal.SIGKILL)"), Silent())
    watch(prepare_run(TrainRequest(resume=prepared.folder), now=1.0), fake_trainer(healthy), Silent())
    report = _build(prepared.folder)
    assert [(trial.id, trial.status) for trial in report.trials] == [("T-01", Status.CRASHED), ("T-02", Status.OK)]
    assert _train(report).num_attempts == 2


def test_a_trainer_that_nobody_watched_still_has_a_report(written: Path) -> None:
    (written / "journal.jsonl").unlink()
    report = _build(written)
    assert report.trials[0].status is Status.OK
    assert report.trials[0].reason.startswith("no observer recorded how it ended")
    assert [entry.what for entry in report.skipped] == ["journal.jsonl"]
    assert "[journal.jsonl]" not in MarkdownRenderer("en").render(report)


def test_an_observer_that_died_leaves_the_judgement_to_the_log(written: Path) -> None:
    journal = written / "journal.jsonl"
    intent, trial = journal.read_text().splitlines()
    later = json.loads(intent) | {"id": "T-02"}
    journal.write_text("\n".join([intent, trial, json.dumps(later)]) + "\n")
    report = _build(written)
    assert [(entry.id, entry.status) for entry in report.trials] == [("T-01", Status.OK), ("T-02", Status.OK)]
    assert isinstance(report.trials[1].seconds, Unavailable)


def test_a_spoilt_journal_is_named_and_the_rest_is_told(written: Path) -> None:
    (written / "journal.jsonl").write_text("garbage\n")
    report = _build(written)
    assert "line 1" in report.skipped[0].reason
    assert _train(report).outcome.state is TrainState.FINISHED


def test_an_empty_folder_has_a_report_of_nothing_and_an_absent_one_is_refused(tmp_path: Path) -> None:
    text = MarkdownRenderer("en").render(_build(tmp_path))
    assert "crashed before the first phase" in text
    with pytest.raises(RunFolderError, match="is no folder"):
        _build(tmp_path / "nowhere")


def test_the_report_is_redacted_in_every_form(prepared: PreparedRun, fake_trainer: Trainer, tmp_path: Path) -> None:
    body = """
    sys.stderr.write("cannot reach gpu-box7 from /home/alice/src\\n")
    log("error", phase="data", type="OSError", message="no /home/alice/data/u.item", traceback="")
    sys.exit(1)
    """
    watch(prepared, fake_trainer(body), Silent())
    report = _build(prepared.folder, Identity(home="/home/alice", user="alice", host="gpu-box7"))
    write_report(report, prepared.folder, "en")
    for name in ("report.md", "report.json"):
        text = (prepared.folder / name).read_text()
        assert "alice" not in text
        assert "gpu-box7" not in text
    assert "no ~/data/u.item" in (prepared.folder / "report.md").read_text()


def test_loss_change_averages_a_tenth_of_the_run_at_each_end(written: Path) -> None:
    values = {metric.name: metric.value for metric in loss_change(_train(_build(written)))}
    assert values["loss_window"] == 2
    assert values["loss_first_mean"] == pytest.approx(3.85)
    assert values["loss_last_mean"] == pytest.approx(2.05)


def test_a_fresh_report_holds_in_either_language(written: Path) -> None:
    assert check_report(written, _build(written)) == ()
    write_report(_build(written), written, "ja")
    assert check_report(written, _build(written)) == ()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda run: (run / "figures" / "loss.svg").unlink(), "figures/loss.svg is referred to and does not exist"),
        (lambda run: (run / "checkpoints" / "step-000020").rmdir(), "checkpoints/step-000020 is referred to"),
        (lambda run: _replace(run / "report.md", "3.85", "3.05"), "report.md is not what report.json renders to"),
        (lambda run: _replace(run / "report.json", '"loss": 3.9,', '"loss": 3.8,'), "train.steps[0].loss is 3.8"),
        (lambda run: (run / "report.json").write_text("{"), "cannot read the report"),
        (lambda run: (run / "report.md").unlink(), "cannot read the report"),
        (lambda run: _replace(run / "report.json", '"num_correct": 10', '"num_correct": 11'), "num_correct is 11"),
    ],
)
def test_whatever_was_changed_is_named(harm: Callable[[Path], object], complaint: str, written: Path) -> None:
    harm(written)
    problems = check_report(written, _build(written))
    assert any(complaint in problem for problem in problems), problems


def test_a_report_of_another_kind_is_not_taken_for_a_training(written: Path) -> None:
    report = from_json(Report, (written / "report.json").read_bytes())
    from ilora_diag.schema import to_json

    (written / "report.json").write_text(to_json(replace(report, kind="env-check", train=None)))
    assert "not of a training" in check_report(written, _build(written))[0]


def test_a_folder_that_cannot_be_written_loses_nothing(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    # The door to the disk: what a full one does when the bytes are to be made durable.
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(_build(written), written, "ja")
    assert {path: path.read_bytes() for path in written.rglob("*") if path.is_file()} == before


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
