"""Checkpoints a script saves and loads again on a virtual card."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from probes.run_kept import SAVE, Kept
from probes.run_pictures import Pictures
from probes.virtual import Machine, NotCarriedError, is_virtual
from probes.virtual.patches import Patches


@pytest.fixture
def pictures(card: Machine) -> Iterator[Kept]:
    kept = Kept()
    with Patches() as patches:
        Pictures(card, kept).install(patches)
        yield kept


def _trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 8, bias=False)).cuda()
    net[2].weight = net[0].weight  # tied
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.randn(4, 8, device="cuda")).sum().backward()
    optimizer.step()
    return net, optimizer


LOCATIONS: dict[str, tuple[Any, str]] = {
    "none": (None, "cuda"),
    "cpu": ("cpu", "cpu"),
    "cuda": ("cuda", "cuda"),
    "device": (torch.device("cuda:0"), "cuda"),
    "dict": ({"cuda:0": "cpu"}, "cpu"),
    "other dict": ({"cuda:1": "cpu"}, "cuda"),
    "stay on the host": (lambda storage, location: storage, "cpu"),
    "to the card": (lambda storage, location: storage.cuda(0), "cuda"),
    "leave it to torch": (lambda storage, location: None, "cuda"),
}


@pytest.mark.parametrize(("location", "where"), LOCATIONS.values(), ids=LOCATIONS)
def test_what_was_saved_is_loaded_where_it_is_wanted(
    pictures: Kept, card: Machine, tmp_path: Path, location: Any, where: str
) -> None:
    net, optimizer = _trained()
    file = tmp_path / "model.pt"
    torch.save(
        {"epoch": 3, "model": net.state_dict(), "optimizer": optimizer.state_dict(), "seed": torch.tensor(7)}, file
    )
    before = torch.cuda.memory_allocated()
    found = torch.load(file, map_location=location, weights_only=True)
    weight = found["model"]["0.weight"]
    assert (found["epoch"], weight.shape, weight.stride(), weight.dtype) == (3, (8, 8), (8, 1), torch.float32)
    assert (weight.device.type, is_virtual(weight)) == (where, where == "cuda")
    assert int(found["seed"]) == 7
    assert found["model"]["1.num_batches_tracked"].item() == 1, "small known values are carried along"
    assert found["model"]["2.weight"].untyped_storage()._cdata == weight.untyped_storage()._cdata, "tied as before"
    assert (torch.cuda.memory_allocated() > before) == (where == "cuda")
    net.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    assert any(sentence.startswith(SAVE) for sentence in card.notes.sentences())


def test_a_checkpoint_beside_its_model_takes_its_bytes_again(pictures: Kept, tmp_path: Path) -> None:
    net = nn.Linear(1024, 1024, bias=False).cuda()
    torch.save(net.state_dict(), tmp_path / "model.pt")
    found = torch.load(tmp_path / "model.pt", weights_only=True)
    assert torch.cuda.memory_allocated() == 2 * 4 << 20
    del found
    assert torch.cuda.memory_allocated() == 4 << 20


@pytest.mark.parametrize("move", [shutil.copyfile, shutil.move], ids=["copied", "moved"])
def test_the_file_is_there_for_those_who_look_and_gone_in_the_end(
    pictures: Kept, tmp_path: Path, move: Callable[..., object]
) -> None:
    file, best = tmp_path / "last.pt", tmp_path / "best.pt"
    torch.save(nn.Linear(2, 2).cuda().state_dict(), file)
    assert b"saved on a virtual card, where no values are computed" in file.read_bytes()
    move(file, best)
    assert torch.load(best, weights_only=True)["bias"].shape == (2,)
    with best.open("rb") as opened:
        assert torch.load(opened, weights_only=True)["bias"].shape == (2,)
    torch.save(nn.Linear(2, 2).cuda().state_dict(), file)
    pictures.clean()
    assert not file.exists()


def test_a_file_that_was_there_is_never_touched(pictures: Kept, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(3)}, file)
    real = file.read_bytes()
    torch.save({"weight": torch.ones(3, device="cuda")}, file)
    assert file.read_bytes() == real
    assert is_virtual(torch.load(file, weights_only=True)["weight"]), "what the script saved last"
    pictures.clean()
    assert file.read_bytes() == real


def test_what_a_file_holds_now_is_what_is_loaded(pictures: Kept, tmp_path: Path) -> None:
    file, other = tmp_path / "model.pt", tmp_path / "other.pt"
    for _ in range(2):  # first to a path that is free, then over a file with values
        torch.save({"weight": torch.ones(3, device="cuda")}, file)
        assert is_virtual(torch.load(file, weights_only=True)["weight"])
        torch.save({"weight": torch.arange(3)}, file)
        assert torch.load(file, weights_only=True)["weight"].tolist() == [0, 1, 2]
    torch.save({"weight": torch.ones(5, device="cuda")}, other)
    torch.save({"weight": torch.ones(4, device="cuda")}, tmp_path / "third.pt")
    shutil.copyfile(tmp_path / "third.pt", other)
    assert torch.load(other, weights_only=True)["weight"].shape == (4,)


def test_files_of_values_are_files(pictures: Kept, tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(3)}, tmp_path / "host.pt")
    assert torch.load(tmp_path / "host.pt", weights_only=True)["weight"].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nothing.pt")


def test_buffers_and_whole_modules(pictures: Kept) -> None:
    buffer = io.BytesIO()
    torch.save(nn.Linear(2, 3).cuda(), buffer)
    buffer.seek(0)
    module = torch.load(buffer, weights_only=False)
    assert (type(module), module.weight.shape, type(module.weight)) == (nn.Linear, (3, 2), nn.Parameter)
    assert is_virtual(module(torch.ones(1, 2, device="cuda")))


def test_a_file_of_another_run_has_no_values(pictures: Kept, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"ilora-diag picture 0 of process 1: saved on a virtual card, where no values are computed\n")
    with pytest.raises(NotCarriedError, match="another run on a virtual card saved it"):
        torch.load(file, weights_only=True)
