"""Checkpoints: strict, complete, atomic."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ilora.checkpoint import TeacherCheckpointError, list_checkpoints, load_checkpoint, save_checkpoint
from ilora.config import Config, TrainConfig
from ilora.model import ILoRATeacher
from ilora.schedule import make_optimizer

Configure = Callable[..., Config]
MakeTeacher = Callable[[Config], ILoRATeacher]


@pytest.fixture
def teacher(configure: Configure, make_teacher: MakeTeacher) -> ILoRATeacher:
    return make_teacher(configure())


@pytest.fixture
def optimizer(teacher: ILoRATeacher) -> torch.optim.Optimizer:
    return make_optimizer(teacher.trainable_groups(), TrainConfig())


@pytest.fixture
def saved(tmp_path: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer) -> Path:
    return save_checkpoint(tmp_path / "c", teacher, optimizer, 7, identity={"lora.r": 8}, keep=2)


def test_a_checkpoint_restores_every_trained_tensor(
    saved: Path, configure: Configure, make_teacher: MakeTeacher, teacher: ILoRATeacher
) -> None:
    other = make_teacher(configure("train.seed=99"))
    differing = [n for n, t in other.trainables().items() if not torch.equal(t, teacher.trainables()[n])]
    assert differing, "the other teacher starts elsewhere"
    assert load_checkpoint(saved, other, identity={"lora.r": 8}) == 7
    for name, tensor in teacher.trainables().items():
        assert torch.equal(tensor, other.trainables()[name]), name


def test_another_configuration_is_named(saved: Path, teacher: ILoRATeacher) -> None:
    with pytest.raises(TeacherCheckpointError, match=r"lora\.r was 8, now 16"):
        load_checkpoint(saved, teacher, identity={"lora.r": 16})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda t: t.pop(sorted(t)[0]), "missing: "),
        (lambda t: t.update(surprise=torch.zeros(1)), "not part of this model: surprise"),
        (lambda t: t.update(placeholder=torch.zeros(1)), "placeholder is "),
    ],
)
def test_loading_is_strict(saved: Path, teacher: ILoRATeacher, damage: Callable[[dict], object], says: str) -> None:
    tensors = load_file(saved / "trainables.safetensors")
    damage(tensors)
    save_file(tensors, saved / "trainables.safetensors")
    with pytest.raises(TeacherCheckpointError, match=says):
        load_checkpoint(saved, teacher)


def test_damaged_files_are_refused_by_name(
    saved: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer
) -> None:
    weights = saved / "trainables.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(TeacherCheckpointError, match=r"trainables\.safetensors cannot be read"):
        load_checkpoint(saved, teacher)
    weights.write_bytes(content)
    (saved / "optimizer.pt").write_bytes(b"not a file of torch")
    with pytest.raises(TeacherCheckpointError, match=r"optimizer\.pt cannot be used"):
        load_checkpoint(saved, teacher, optimizer)
    state = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(json.dumps(state | {"version": 99}))
    with pytest.raises(TeacherCheckpointError, match="version 99"):
        load_checkpoint(saved, teacher)
    (saved / "state.json").unlink()
    with pytest.raises(TeacherCheckpointError, match="no checkpoint"):
        load_checkpoint(saved, teacher)


def test_an_optimizer_file_with_code_in_it_is_refused(
    saved: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer, tmp_path: Path
) -> None:
    class Dangerous:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state": Dangerous()}, saved / "optimizer.pt")
    with pytest.raises(TeacherCheckpointError):
        load_checkpoint(saved, teacher, optimizer)
    assert not (tmp_path / "ran").exists()


def test_old_checkpoints_go_only_after_the_new_one_stands(
    tmp_path: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer
) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path / "c", teacher, optimizer, step, identity={}, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path / "c")] == ["step-000002", "step-000003"]


def test_a_full_disk_leaves_the_earlier_checkpoint(
    saved: Path, teacher: ILoRATeacher, optimizer: torch.optim.Optimizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)  # the door to the disk
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved.parent, teacher, optimizer, 8, identity={}, keep=1)
    assert [path.name for path in saved.parent.iterdir()] == ["step-000007"]
    assert load_checkpoint(saved, teacher) == 7
