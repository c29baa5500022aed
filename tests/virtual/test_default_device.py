"""The card as a default, and cards named by numbers: what scripts do that serve one card, or one of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from probes.virtual import Machine


@contextmanager
def _for_the_process() -> Iterator[None]:
    torch.set_default_device("cuda")
    try:
        yield
    finally:
        torch.set_default_device(None)


DEFAULTS: dict[str, Callable[[], object]] = {"block": lambda: torch.device("cuda"), "process": _for_the_process}


@pytest.mark.parametrize("default", DEFAULTS.values(), ids=DEFAULTS)
def test_training_inside_a_default_takes_what_it_takes_without(
    card: Machine, default: Callable[[], object], tiny: Callable[..., nn.Module]
) -> None:
    def steps(model: nn.Module, **device: str) -> list[int]:
        first = len(card.ledger.sizes)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)  # whose state has no counters of its own
        ids = torch.arange(24, **device).reshape(2, 12)
        mask = torch.ones(2, 12, dtype=torch.bool, **device)
        for _ in range(2):
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(ids)[mask], ids[mask])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            assert torch.isfinite(loss).item()
        return card.ledger.sizes[first:]

    models = [tiny(dropout=0.1).cuda() for _ in range(3)]
    steps(models[0], device="cuda")  # libraries' workspaces come with the first
    outside = steps(models[1], device="cuda")
    with default():  # type: ignore[attr-defined]
        assert steps(models[2]) == outside


def test_files_are_loaded_where_they_are_asked_for_whatever_the_default(card: Machine, tmp_path: Path) -> None:
    torch.save({"weight": torch.arange(3)}, tmp_path / "file.pt")
    for where in ("cpu", "cuda"):
        with torch.device("cuda"):
            loaded = torch.load(tmp_path / "file.pt", map_location=where, weights_only=True)["weight"]
        assert loaded.device.type == where
        assert loaded.tolist() == [0, 1, 2]


BY_NUMBER: dict[str, Callable[[], torch.Tensor]] = {
    "torch.device": lambda: torch.zeros(2, device=torch.device(1)),
    "zeros": lambda: torch.zeros(2, device=1),
    "randn": lambda: torch.randn(2, device=1),
    "arange": lambda: torch.arange(2, device=1),
    "zeros_like": lambda: torch.zeros_like(torch.ones(2), device=1),
    "new_zeros": lambda: torch.ones(2).new_zeros(2, device=1),
    "tensor": lambda: torch.tensor([1, 2], device=1),
    "to": lambda: torch.ones(2).to(1),
    "Module.to": lambda: nn.Linear(1, 2, bias=False).to(1).weight,
    "Module.to a device": lambda: nn.Linear(1, 2, bias=False).to(device=1).weight,
    "Module.cuda": lambda: nn.Linear(1, 2, bias=False).cuda(1).weight,
    "a module's argument": lambda: nn.Linear(1, 2, bias=False, device=1).weight,
    "a generator": lambda: torch.rand(2, generator=torch.Generator(device=1), device=1),
}


@pytest.mark.parametrize("make", BY_NUMBER.values(), ids=BY_NUMBER)
def test_a_number_names_a_card(two_cards: Machine, make: Callable[[], torch.Tensor]) -> None:
    made = make()
    assert str(made.device) == "cuda:1"
    assert made.numel() == 2
    assert torch.cuda.memory_allocated(1) > 0


def test_the_type_of_devices_stays_itself(card: Machine) -> None:
    cpu = torch.device("cpu")
    assert isinstance(cpu, torch.device)
    assert type(cpu) == torch.device  # noqa: E721 - as libraries ask
    assert {torch.device: 1}[type(cpu)] == 1
    assert not isinstance("cpu", torch.device)
    assert issubclass(type(cpu), torch.device)
    assert torch.device("cuda", 0) == torch.device("cuda:0") == torch.device(type="cuda", index=0) == torch.device(0)
    assert (int | torch.device | None) is not None


def test_a_card_that_is_not_there_is_refused(card: Machine) -> None:
    with pytest.raises(torch.AcceleratorError, match="invalid device ordinal"):
        torch.zeros(2, device=3)
