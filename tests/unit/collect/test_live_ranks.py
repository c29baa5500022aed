"""Facts of several ranks, with real processes and gloo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ilora_diag.collect.vocabulary import complaint
from ilora_diag.schema import Facts, from_json


def torchrun(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "torch.distributed.run", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_two_ranks_are_gathered_into_one_folder(tmp_path: Path) -> None:
    done = torchrun("--standalone", "--nproc-per-node", "2", "-m", "probes.env_rank", "--out", str(tmp_path / "ranks"))
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "ranks").iterdir())
    assert [file.name for file in files] == ["rank-00000.json", "rank-00001.json"]
    for index, file in enumerate(files):
        facts = from_json(Facts, file.read_bytes())
        assert (facts.get("rank.index"), facts.get("rank.world_size")) == (index, 2)
        assert facts.get("env.RANK") == str(index)
        assert isinstance(facts.get("torch.version"), str)
        assert [text for fact in facts.facts if (text := complaint(fact))] == []


@pytest.mark.slow
def test_one_process_without_torchrun_is_a_rank_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    command = [sys.executable, "-P", "-m", "probes.env_rank", "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    facts = from_json(Facts, (tmp_path / "rank-00000.json").read_bytes())
    assert facts.get("rank.world_size") == 1


@pytest.mark.slow
def test_ranks_that_do_not_reach_each_other_write_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a rank of two whose partner never comes
    settings = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-P", "-m", "probes.env_rank", "--out", str(tmp_path), "--gather-s", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 1
    assert "could not gather" in done.stderr
    assert from_json(Facts, (tmp_path / "rank-00001.json").read_bytes()).get("rank.index") == 1
