"""PyTorch's own samples of its operators, forward and backward, against the host's sizes and types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from benchmarks.coverage.outcome import (
    ANYWHERE,
    CARRIED,
    DIFFERS,
    FAILED,
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

_SAMPLES = 6
_TYPES = (torch.float32, torch.int64)


def operators() -> Iterator[Outcome]:
    """Every operator that has samples on the host."""
    from torch.testing._internal.common_methods_invocations import op_db

    for info in op_db:
        name = f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name
        dtype = next((one for one in _TYPES if info.supports_dtype(one, "cpu")), None)
        if dtype is not None:
            yield _operator(name, info, dtype)


def _operator(name: str, info: Any, dtype: torch.dtype) -> Outcome:
    wants_gradient = info.supports_autograd and dtype.is_floating_point
    worst = Outcome(name=name, kind=CARRIED)
    for sample in islice(info.sample_inputs("cpu", dtype, requires_grad=False), _SAMPLES):
        found = _Trial(name, info, sample, wants_gradient=wants_gradient).outcome()
        if found is not None and found.kind != CARRIED:
            worst = found
        if worst.kind == FAILED:
            break
    return worst


class _Trial:
    """One sample on the card, and where it fails on the host, too."""

    def __init__(self, name: str, info: Any, sample: Any, *, wants_gradient: bool) -> None:
        self._name, self._info, self._sample = name, info, sample
        self._wants_gradient = wants_gradient
        self._sizes: dict[str, list[object]] = {}

    def outcome(self) -> Outcome | None:
        """What became of it; None where the sample is not for the host."""
        if attempt(self._forward_on_the_host, seconds=20) is not None:
            return None
        error = attempt(self._on_the_card, seconds=20)
        if error is None:
            return self._compared()
        told = failure(self._name, error)
        if told.kind != FAILED:
            return told
        same = attempt(self._backward_on_the_host, seconds=20)
        return replace(told, kind=ANYWHERE) if same is not None and first_line(same) in told.detail else told

    def _compared(self) -> Outcome:
        host, card = self._sizes["host"], self._sizes["card"]
        if host == card:
            return Outcome(name=self._name, kind=CARRIED)
        return Outcome(name=self._name, kind=DIFFERS, detail=f"{card} for {host}"[:200])

    def _forward_on_the_host(self) -> None:
        self._sizes["host"] = sizes(self._info(self._sample.input, *self._sample.args, **self._sample.kwargs))

    def _backward_on_the_host(self) -> None:
        _backward(self._call(self._sample.input, self._sample.args, self._sample.kwargs))

    def _on_the_card(self) -> None:
        with virtual_cuda("h100", environ={}):
            kwargs = {key: "cuda" if key == "device" else on_card(value) for key, value in self._sample.kwargs.items()}
            made = self._call(on_card(self._sample.input), on_card(self._sample.args), kwargs)
            self._sizes["card"] = sizes(made)
            _backward(made)

    def _call(self, inputs: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if self._wants_gradient:
            inputs = tree_map_only(Tensor, wanting, inputs)
        return self._info(inputs, *args, **kwargs)


def _backward(made: Any) -> None:
    total = summed(made)
    if total is not None:
        total.backward()  # type: ignore[no-untyped-call]
