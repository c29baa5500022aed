"""The whole trainer behind a virtual card, from data to evaluation, and what its run log says of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ilora.config import dump_config, load_config
from ilora.rec import CheckpointError, load_recommender

SHORT = ["train.max_steps=2", "train.eval_every=2", "eval.max_samples=4", "rec.max_epochs=1"]


@pytest.mark.slow
def test_a_training_runs_to_its_end_saves_nothing_and_says_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(load_config(SHORT, file="tiny")), encoding="utf-8")
    run_dir = tmp_path / "run"
    argv = [sys.executable, "-P", "-m", "probes.train_virtual", "--gpu", "l4", "--config", str(file)]
    done = subprocess.run([*argv, "--run-dir", str(run_dir)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (run_dir / "runlog.jsonl").read_text(encoding="utf-8").splitlines()]
    named = {event["event"]: event for event in events}
    assert named["environment"]["device_name"] == "virtual NVIDIA L4"
    assert "virtual card" in named["warning"]["text"]
    assert named["finished"]["status"] == "ok"
    assert "checkpoint" not in named
    assert not list((run_dir).glob("checkpoints/*"))
    assert not (run_dir / "predictions.jsonl").exists()
    assert named["step"]["device"]["peak_reserved_bytes"] > 0
    with pytest.raises(CheckpointError, match=r"recommender\.safetensors.*never computed.*Train one on a real device"):
        load_recommender(run_dir / "recommender.safetensors")


@pytest.mark.slow
def test_outputs_for_a_student_are_computed_and_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    overrides = [*SHORT, "model.head=items", "eval.export=true", "eval.export_shard_rows=8"]
    file.write_text(dump_config(load_config(overrides, file="tiny")), encoding="utf-8")
    argv = [sys.executable, "-P", "-m", "probes.train_virtual", "--gpu", "l4", "--config", str(file)]
    done = subprocess.run(
        [*argv, "--run-dir", str(tmp_path / "run")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "run").rglob("*.parquet"))
    log = (tmp_path / "run" / "runlog.jsonl").read_text(encoding="utf-8")
    assert '"phase": "save"' in log or '"phase":"save"' in log


@pytest.mark.slow
def test_a_card_that_is_full_fails_in_the_words_of_a_real_one(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(load_config(SHORT, file="tiny")), encoding="utf-8")
    argv = [sys.executable, "-P", "-m", "probes.train_virtual", "--gpu", "l4", "--memory", str(700 << 20)]
    done = subprocess.run(
        [*argv, "--config", str(file), "--run-dir", str(tmp_path / "run")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    log = (tmp_path / "run" / "runlog.jsonl").read_text(encoding="utf-8")
    assert "CUDA out of memory. Tried to allocate" in log
