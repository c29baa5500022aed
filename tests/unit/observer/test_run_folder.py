"""The folder of a run: made late, never shared by accident, and complete enough to run again from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ilora.config import ConfigError, load_config
from ilora_diag.engine.journal import Journal
from ilora_diag.engine.run_folder import TrainRequest, is_running, prepare_run, typed_settings
from ilora_diag.engine.runlog import RunFolderError, read_settings


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_run_gets_a_folder_named_after_the_time_in_utc() -> None:
    run = prepare_run(TrainRequest(config="tiny"), now=1_763_694_060.0)
    assert re.fullmatch(r"reports/runs/20251121-030100-[0-9a-f]{4}", str(run.folder))
    assert run.folder.is_dir()
    assert not run.resumed


def test_the_effective_configuration_is_the_whole_tree_and_loads_again() -> None:
    run = prepare_run(TrainRequest(overrides=("train.max_steps=3",), config="tiny"), now=0.0)
    effective = run.folder / "config.effective.yaml"
    assert load_config(file=effective) == load_config(["train.max_steps=3"], file="tiny")


def test_the_requested_configuration_is_what_was_typed_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {max_steps: 5, lr: 1e-3}\nlora: {target_modules: [q_proj, v_proj]}\n")
    request = TrainRequest(overrides=("train.max_steps=7", "llm=tiny"), config=str(file), device="cpu")
    run = prepare_run(request, now=0.0)
    expected = {
        "--config": str(file), "--device": "cpu", "train.max_steps": 7, "train.lr": 1e-3,
        "lora.target_modules": ("q_proj", "v_proj"), "llm": "tiny",
    }  # fmt: skip
    written = read_settings(run.folder / "config.requested.yaml")
    assert isinstance(written, tuple)
    assert {key: 1e-3 if value == "1e-3" else value for key, value in written} == expected
    assert dict(run.requested)["--run-dir"] == str(run.folder)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=3", 3),
        ("a=[x, y]", ("x", "y")),
        ("a=null", None),
        ("a=true", True),
        ("a=x=y", "x=y"),
        ("a={b: 1}", "{b: 1}"),
    ],
)
def test_typed_values_are_read_as_yaml(text: str, value: object) -> None:
    assert dict(typed_settings(TrainRequest(overrides=(text,))))["a"] == value


@pytest.mark.parametrize("override", ["train.btch=3", "train.lr=fast", "lora.num_experts=3"])
def test_a_refused_configuration_leaves_nothing_behind(override: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        prepare_run(TrainRequest(overrides=(override,), run_dir=Path("run")), now=0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_untouched_with_what_to_type(tmp_path: Path) -> None:
    used = tmp_path / "used one"
    used.mkdir()
    (used / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=re.escape(f"ilora-diag train --resume '{used}'")):
        prepare_run(TrainRequest(config="tiny", run_dir=used), now=0.0)
    assert [path.name for path in used.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert prepare_run(TrainRequest(config="tiny", run_dir=Path("run")), now=0.0).folder == Path("run")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunFolderError, match="is a file"):
        prepare_run(TrainRequest(config="tiny", run_dir=Path("run")), now=0.0)


def test_resuming_keeps_the_runs_own_configuration_and_adds_what_is_typed() -> None:
    first = prepare_run(TrainRequest(overrides=("train.lr=0.5",), config="tiny", run_dir=Path("run")), now=0.0)
    second = prepare_run(TrainRequest(overrides=("train.max_steps=99",), resume=Path("run")), now=1.0)
    assert second.folder == first.folder
    assert second.resumed
    config = load_config(file=Path("run/config.effective.yaml"))
    assert (config.train.lr, config.train.max_steps, config.llm.preset) == (0.5, 99, "tiny")
    requested = read_settings(Path("run/config.requested.yaml"))
    assert isinstance(requested, tuple)
    assert {"train.lr", "train.max_steps", "--config"} <= dict(requested).keys()


def test_a_run_under_way_is_not_resumed_and_its_configuration_not_touched() -> None:
    run = prepare_run(TrainRequest(config="tiny", run_dir=Path("run")), now=0.0)
    assert not is_running(run.folder)
    before = (run.folder / "config.effective.yaml").read_text()
    with Journal(run.folder / "journal.jsonl"):
        assert is_running(run.folder)
        with pytest.raises(RunFolderError, match="by another process"):
            prepare_run(TrainRequest(overrides=("train.max_steps=99",), resume=run.folder), now=1.0)
    assert (run.folder / "config.effective.yaml").read_text() == before
    assert not is_running(run.folder)


def test_resuming_what_is_no_run_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        prepare_run(TrainRequest(resume=Path("nowhere")), now=0.0)
    assert list(tmp_path.iterdir()) == []
