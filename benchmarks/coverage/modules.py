"""PyTorch's own samples of its modules in training and inference, and of its optimizers, three steps each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from benchmarks.coverage.outcome import (
    ANYWHERE,
    CARRIED,
    DIFFERS,
    Outcome,
    attempt,
    failure,
    first_line,
    on_card,
    sizes,
    summed,
    wanting,
)
from probes.virtual import virtual_cuda

_SAMPLES = 4
_WAYS: tuple[dict[str, bool], ...] = ({}, {"foreach": True}, {"foreach": False}, {"fused": True})


def modules() -> Iterator[Outcome]:
    """Every module that has samples, in training and in inference."""
    from torch.testing._internal.common_modules import module_db

    for info in module_db:
        for training in (True, False):
            yield _module(f"{info.name} in {'training' if training else 'inference'}", info, training=training)


def _module(name: str, info: Any, *, training: bool) -> Outcome:
    given = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": training}
    for sample in info.module_inputs_func(info, **given)[:_SAMPLES]:
        trial = _Trial(info, sample, training=training)
        if attempt(trial.on_the_host, seconds=30) is not None:
            continue  # the sample is not for the host
        error = attempt(trial.on_the_card, seconds=30)
        if error is not None:
            return failure(name, error)
        if trial.found != trial.expected:
            return Outcome(name=name, kind=DIFFERS, detail=f"{trial.found} for {trial.expected}"[:200])
    return Outcome(name=name, kind=CARRIED)


class _Trial:
    """One sample of a module."""

    def __init__(self, info: Any, sample: Any, *, training: bool) -> None:
        self._info, self._training = info, training
        self._made, self._called = sample.constructor_input, sample.forward_input
        self.expected: list[object] = []
        self.found: list[object] = []

    def on_the_host(self) -> None:
        module = self._info.module_cls(*self._made.args, **self._made.kwargs).train(self._training)
        self.expected = sizes(module(*self._called.args, **self._called.kwargs))

    def on_the_card(self) -> None:
        with virtual_cuda("h100", environ={}):
            module = self._info.module_cls(*on_card(self._made.args), **on_card(self._made.kwargs))
            args = on_card(self._called.args)
            if args and self._training:  # targets and masks come after
                args = (tree_map_only(Tensor, wanting, args[0]), *args[1:])
            found = module.cuda().train(self._training)(*args, **on_card(self._called.kwargs))
            self.found = sizes(found)
            total = summed(found) if self._training else None
            if total is not None:
                total.backward()  # type: ignore[no-untyped-call]


def optimizers() -> Iterator[Outcome]:
    """Every optimizer, with each of its settings, one by one, in lists and fused."""
    from torch.testing._internal.common_optimizers import optim_db

    for info in optim_db:
        yield _optimizer(info)


def _optimizer(info: Any) -> Outcome:
    for sample in info.optim_inputs_func(device="cpu"):
        for way in _WAYS:
            if any(name not in info.supported_impls for name in way):
                continue
            settings = {**sample.kwargs, **way}
            error = attempt(partial(_on_the_card, info, settings), seconds=30)
            if error is None or isinstance(error, (ValueError, AssertionError)):
                continue  # done, or settings that do not go together
            told = failure(info.name, error)
            same = attempt(partial(_three_steps, info, settings, "cpu"), seconds=30)
            return replace(told, kind=ANYWHERE) if same is not None and first_line(same) in told.detail else told
    return Outcome(name=info.name, kind=CARRIED)


def _on_the_card(info: Any, settings: dict[str, Any]) -> None:
    with virtual_cuda("h100", environ={}):
        _three_steps(info, settings, "cuda")


def _three_steps(info: Any, settings: dict[str, Any], device: str) -> None:
    sizes_of = ((3, 4), (2, 2)) if info.name == "Muon" else ((3, 4), (5,), (2, 2))
    parameters = [torch.nn.Parameter(torch.ones(size, device=device)) for size in sizes_of]
    optimizer = info.optim_cls(parameters, **tree_map_only(Tensor, lambda tensor: tensor.to(device), settings))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.stack([(parameter**2).sum() for parameter in parameters]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(3):
        if info.step_requires_closure:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
