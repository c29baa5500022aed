"""plain_lora: an adapter's experts as one low-rank update, without an output of each."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from probes.interventions.act import Act


@dataclass(frozen=True, slots=True)
class Experts:
    """A layer with experts, as its parameters show it.

    Attributes:
        base: what it adapts.
        down: low-rank factors, each reshapeable to (rank, in).
        up: low-rank factors, each reshapeable to (out, rank).
        count: of experts.
    """

    base: nn.Module
    down: tuple[Tensor, ...]
    up: tuple[Tensor, ...]
    count: int


def plain_lora(act: Act) -> None:
    """Give every expert the same gate, and compute base(x) + B A x with all experts' ranks side by side.

    With equal gates a mixture of experts is plain LoRA of the summed rank, so the same parameters are used and train.
    Layers are known by parameters named lora, the base layer beside them, and more than one expert.
    """
    looked_at: weakref.WeakSet[nn.Module] = weakref.WeakSet()
    replaced: set[type] = set()

    def around(module: nn.Module, proceed: Callable[[], Any]) -> Any:
        if module not in looked_at:
            looked_at.add(module)
            for layer in module.modules():
                found = experts_of(layer)
                if found is not None:
                    act.met(found.count, type(layer).__name__)
                    if act.is_applied and type(layer) not in replaced:
                        replaced.add(type(layer))
                        _replace(act, type(layer))
        return proceed()

    act.seams.around_call(around)


def _replace(act: Act, kind: Any) -> None:
    plain = kind.forward

    @functools.wraps(plain)
    def forward(layer: nn.Module, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        found = experts_of(layer)
        return plain(layer, x, *args, **kwargs) if found is None else _fused(layer, found, x)

    act.seams.patches.replace(kind, "forward", forward)


def _fused(layer: nn.Module, found: Experts, x: Tensor) -> Tensor:
    low = [F.linear(x.to(part.dtype), part) for part in _rows(found.down, x.shape[-1])]
    y: Tensor = found.base(x)
    wide = [_columns(part, y.shape[-1], down.shape[-1]) for part, down in zip(found.up, low, strict=True)]
    for part, down in zip(wide, low, strict=True):
        y = y + F.linear(down, part).to(y.dtype) * (_scaling(layer) / found.count)
    return y


def _scaling(layer: Any) -> float:
    found = getattr(layer, "scaling", 1.0)
    return float(found) if isinstance(found, (int, float)) else 1.0


def _rows(parts: tuple[Tensor, ...], width: int) -> Iterator[Tensor]:
    """Each as (rank, in), whatever the order of its dimensions."""
    for part in parts:
        place = max(place for place in range(part.dim()) if part.shape[place] == width)
        yield part.movedim(place, -1).reshape(-1, width)


def _columns(part: Tensor, width: int, rank: int) -> Tensor:
    """(out, rank), whatever the order of dimensions."""
    place = next(place for place in range(part.dim()) if part.shape[place] == width)
    return part.movedim(place, 0).reshape(width, rank)


def experts_of(layer: nn.Module) -> Experts | None:
    """The parts of a layer with low-rank experts; None for any other module."""
    own = dict(_own_parameters(layer))
    down = tuple(one for name, one in own.items() if _is_factor(name, "a"))
    up = tuple(one for name, one in own.items() if _is_factor(name, "b"))
    bases = [child for child in layer.children() if hasattr(child, "in_features") and not _is_low(child, down + up)]
    if len(bases) != 1 or not down or len(down) != len(up):
        return None
    base: Any = bases[0]
    count = _num_experts(layer, down)
    fits = all(base.in_features in part.shape for part in down) and all(base.out_features in part.shape for part in up)
    return Experts(base, down, up, count) if count > 1 and fits else None


def _own_parameters(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, one in layer.named_parameters():
        if name.count(".") <= 2 and "lora" in name.lower():
            yield name, one


def _is_factor(name: str, letter: str) -> bool:
    return any(part.lower().endswith(f"lora_{letter}") or part.lower() == f"lora_{letter}s" for part in name.split("."))


def _is_low(child: nn.Module, parts: tuple[Tensor, ...]) -> bool:
    return any(one is part for one in child.parameters() for part in parts)


def _num_experts(layer: nn.Module, down: tuple[Tensor, ...]) -> int:
    """From the number of factors, a factor's third dimension, or an attribute that says so."""
    if len(down) > 1:
        return len(down)
    if down[0].dim() == 3:
        return int(down[0].shape[0])
    for name, value in vars(layer).items():
        if ("expert" in name or "moe" in name) and isinstance(value, int) and not isinstance(value, bool):
            return value
    return 1
