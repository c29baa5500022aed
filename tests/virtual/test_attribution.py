"""Every byte has a module, an operator, a phase and a category, and the ledger agrees with the allocator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from ilora_diag.schema import Category
from probes.virtual import Machine, virtual_cuda
from probes.virtual.ledger import OUTSIDE, Ledger


def _peak(ledger: Ledger) -> list[int]:
    live = best = at = 0
    for position, event in enumerate(ledger.events, 1):
        live += ledger.sizes[event] if event > 0 else -ledger.sizes[-event]
        if live > best:
            best, at = live, position
    return ledger.live_at(at)


def _bytes(ledger: Ledger, numbers: list[int]) -> Counter[Category]:
    found: Counter[Category] = Counter()
    for number in numbers:
        found[ledger.category(number)] += ledger.sizes[number]
    return found


def _trained(card: Machine, model: nn.Module, steps: int = 3) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(steps):
        ids = torch.arange(24).reshape(2, 12).cuda()
        loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        optimizer.step()
        if _ < steps - 1:
            optimizer.zero_grad()
    return optimizer


def test_categories(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny(dropout=0.1).cuda()
    optimizer = _trained(card, model)
    ledger = card.ledger
    parameters = sum(parameter.nbytes for parameter in model.parameters())
    end = _bytes(ledger, ledger.live_at(len(ledger.events)))
    assert end[Category.PARAMETER] == parameters
    assert end[Category.GRADIENT] == parameters
    assert end[Category.OPTIMIZER_STATE] == 2 * parameters
    assert end[Category.BUFFER] == sum(buffer.nbytes for buffer in model.buffers())
    assert end[Category.WORKSPACE] > 0
    peak = _bytes(ledger, _peak(ledger))
    assert peak[Category.ACTIVATION] > 0
    assert peak[Category.INPUT] == 24 * 8
    assert sum(peak.values()) == card.cards[0].allocator.peak_requested_bytes
    assert optimizer.state


def test_module_names_agree_between_phases(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny().cuda()
    _trained(card, model)
    ledger = card.ledger
    by_phase: dict[str, set[str]] = {}
    for number in range(1, len(ledger.sizes)):
        by_phase.setdefault(ledger.phases[number], set()).add(ledger.modules[number])
    layers = {"embed", "head", *(f"blocks.{i}.{j}" for i in (0, 1) for j in (0, 1, 3))}
    assert layers <= by_phase["load"]
    assert layers | {"blocks.0.2", "blocks.1.2"} <= by_phase["forward"]
    assert layers | {"blocks.0.2"} <= by_phase["backward"]
    assert layers <= by_phase["optimizer"]
    states = {ledger.modules[n] for n, kind in ledger.fixed.items() if kind is Category.OPTIMIZER_STATE}
    assert states == layers
    gradients = {ledger.modules[n] for n, kind in ledger.fixed.items() if kind is Category.GRADIENT}
    assert gradients == layers


def test_recomputed_modules_have_the_names_of_the_forward(card: Machine) -> None:
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.ReLU()) for _ in range(3))

        def forward(self, hidden: torch.Tensor) -> Any:
            for layer in self.layers:
                hidden = checkpoint(layer, hidden, use_reentrant=False)
            return hidden

    model = Checkpointed().cuda()
    model(torch.randn(4, 16, device="cuda", requires_grad=True)).sum().backward()
    ledger = card.ledger
    again = {ledger.modules[n] for n in range(1, len(ledger.sizes)) if ledger.phases[n] == "recompute"}
    assert {"layers.0.0", "layers.2.1"} <= again
    assert again <= {f"layers.{i}{j}" for i in range(3) for j in ("", ".0", ".1")}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_hardly_anything_lies_outside_modules(card: Machine, checkpointing: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.OPTConfig(
        vocab_size=500, hidden_size=64, ffn_dim=128, num_hidden_layers=3, num_attention_heads=4, word_embed_proj_dim=64
    )
    with torch.device("cuda"):
        model = transformers.OPTForCausalLM(config).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(3):
        ids = torch.arange(64).reshape(2, 32).cuda()
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    ledger = card.ledger
    peak = [n for n in _peak(ledger) if ledger.category(n) is not Category.WORKSPACE]
    outside = sum(
        ledger.sizes[n] for n in peak if ledger.modules[n] == OUTSIDE and ledger.category(n) is not Category.INPUT
    )
    assert outside < 0.01 * sum(ledger.sizes[n] for n in peak)


def test_validation_is_a_phase_of_its_own(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny().cuda()
    _trained(card, model, 1)
    begin = len(card.ledger.sizes)
    with torch.no_grad():
        model(torch.zeros(1, 4, dtype=torch.long, device="cuda"))
    assert "validation" in set(card.ledger.phases[begin:])
    assert card.watch.step == 1


def test_the_ledger_agrees_with_the_allocator_at_every_event(tiny: Callable[..., nn.Module]) -> None:
    with virtual_cuda("a100-80gb", devices=2, environ={}) as machine:
        ledger, live, checked = machine.ledger, [0, 0], 0
        allocate, release = machine.allocate, machine.release

        def compare(device: int, change: int) -> None:
            nonlocal checked
            live[device] += change
            checked += 1
            assert live[device] == machine.cards[device].allocator.requested_bytes

        def allocate_and_compare(size: int, device: int, *args: Any, **kwargs: Any) -> Any:
            made = allocate(size, device, *args, **kwargs)
            compare(device, size)
            return made

        def release_and_compare(number: int, device: int, block: Any) -> None:
            release(number, device, block)
            compare(device, -ledger.sizes[number])

        machine.allocate, machine.release = allocate_and_compare, release_and_compare  # type: ignore[method-assign]
        model = tiny(dropout=0.1).cuda()
        _trained(machine, model)
        other = tiny().to("cuda:1")
        with torch.device("cuda:1"), torch.autocast("cuda", dtype=torch.bfloat16):
            other(torch.zeros(1, 4, dtype=torch.long)).sum().backward()
        del model
        assert checked == len(ledger.events) > 500
        assert min(live) > 0


def test_the_ledger_has_the_allocators_own_sequence(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    theirs: list[int] = []

    def note(event: Any) -> None:
        if event.action in ("alloc", "free_completed"):
            theirs.append(event.size if event.action == "alloc" else -event.size)

    card.cards[0].allocator.core.record = note
    model = tiny(dropout=0.1).cuda()
    _trained(card, model)
    del model
    sizes = card.ledger.sizes
    ours = [sizes[event] if event > 0 else -sizes[-event] for event in card.ledger.events]
    assert [change for change in ours if change] == theirs


class _Parts(nn.Module):
    """A model whose parts are called by themselves, as a `training_step` does."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(4, 8), nn.ReLU())

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(batch)).sum()


def _modules_of(ledger: Ledger) -> set[str]:
    return set(ledger.modules[1:])


def test_parts_that_are_called_by_themselves_are_named_by_their_place_in_the_model(card: Machine) -> None:
    model = _Parts().cuda()
    model.training_step(torch.ones(2, 8, device="cuda")).backward()
    assert _modules_of(card.ledger) - {OUTSIDE} == {"encoder.0", "encoder.1", "decoder.0", "decoder.1"}


def test_two_models_do_not_share_names(card: Machine) -> None:
    critic, maker = nn.Sequential(nn.Linear(8, 1)).cuda(), _Parts().cuda()
    (critic(torch.ones(2, 8, device="cuda")) + maker.encoder(torch.ones(2, 8, device="cuda")).sum()).sum().backward()
    assert {"0", "_Parts.encoder.0"} <= _modules_of(card.ledger)
    assert "_Parts.decoder.0" in _modules_of(card.ledger)  # its weights, though it was not called


def test_two_models_of_one_class_are_told_apart_and_a_loss_made_anew_is_not(card: Machine) -> None:
    models = [nn.Linear(8, 8).cuda() for _ in range(3)]
    for _ in range(2):
        for model in models:
            loss = nn.MSELoss()  # the one before is still alive while this one is made
            loss(model(torch.ones(2, 8, device="cuda")), torch.zeros(2, 8, device="cuda")).backward()
    assert _modules_of(card.ledger) - {OUTSIDE} == {"", "Linear#2", "Linear#3", "MSELoss"}


def test_what_is_put_into_a_model_after_its_first_call_has_its_place_in_it(card: Machine) -> None:
    model = _Parts().cuda()
    model.training_step(torch.ones(2, 8, device="cuda"))
    model.encoder[1] = nn.Linear(4, 4).cuda()
    model.encoder.append(nn.Linear(4, 4).cuda())
    late = model.encoder[2]
    late(torch.ones(2, 4, device="cuda"))
    assert "encoder.2" in _modules_of(card.ledger)


def test_modules_that_only_a_copy_knows_are_named_from_what_is_called(card: Machine) -> None:
    model = deepcopy(_Parts()).cuda()  # a copy's parts are put in their places past every hook
    model.training_step(torch.ones(2, 8, device="cuda")).backward()
    assert _modules_of(card.ledger) - {OUTSIDE} == {"0", "1", "Sequential#2.0", "Sequential#2.1"}
