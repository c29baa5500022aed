"""From named weights to a recommender, strictly: the names decide the architecture, the shapes its size."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ilora.rec.base import Recommender
from ilora.rec.build import ARCHITECTURES
from ilora.rec.checkpoint.harvest import Weights

_MARKS = {"mh_attn.linear_q.weight": "sasrec", "gru.weight_ih_l0": "gru", "vertical_cnn.weight": "caser"}
_SQUARE = {"sasrec": "mh_attn.linear_q.weight", "gru": "gru.weight_ih_l0"}
_DEFAULT_FACTS = {"max_history": 10, "dropout": 0.0}
"""Where neither file nor shapes tell: the release has histories of 10; dropout matters in training only."""


def assemble(weights: Weights) -> Recommender:
    """The recommender these weights belong to, in eval mode, fp32, on the CPU, with memory of its own.

    Raises:
        ValueError: no known architecture, missing or surplus names, wrong shapes, not finite.
    """
    tensors = weights.tensors
    arch = next((arch for mark, arch in _MARKS.items() if mark in tensors), None)
    table = tensors.get("item_embeddings.weight")
    if arch is None or table is None or table.ndim != 2:
        raise ValueError(f"its {len(tensors)} weights are not those of {', '.join(ARCHITECTURES)} ({_some(tensors)})")
    _refuse_hollow(arch, tensors)
    facts = _settle(weights.facts, _told_by_shapes(arch, tensors))
    with torch.random.fork_rng(devices=[]):  # loading draws no number from the run's generator
        rec = ARCHITECTURES[arch](facts["num_items"], facts["hidden_size"], facts["max_history"], facts["dropout"])
    _check(rec.state_dict(), tensors)
    own = {name: value.to(torch.float32, copy=True).contiguous() for name, value in tensors.items()}
    for name, value in own.items():
        if not value.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite")
    rec.load_state_dict(own, strict=True, assign=True)
    return rec.eval()


def _refuse_hollow(arch: str, tensors: Mapping[str, Tensor]) -> None:
    """Let no file have a model built that is larger than the file.

    Sizes are read off shapes. No weight is empty and the square ones have their rows, so the file holds as many numbers
    as the largest weight of the model it describes.
    """
    for name, value in tensors.items():
        if not value.numel():
            raise ValueError(f"{name} has shape {tuple(value.shape)}: no values")
    width = tensors["item_embeddings.weight"].shape[1]
    square = tensors[_SQUARE[arch]] if arch in _SQUARE else None
    if square is not None and square.numel() % width**2:
        raise ValueError(f"{_SQUARE[arch]} has shape {tuple(square.shape)}, but items have {width} numbers")


def _settle(said: Mapping[str, Any], shown: Mapping[str, int]) -> dict[str, Any]:
    """What the file says of the model and what its shapes show, where both agree and make sense."""
    for name, value in shown.items():
        if said.get(name, value) != value:
            raise ValueError(f"its {name} is said to be {reprlib.repr(said[name])}, but its weights are for {value}")
    facts = {**_DEFAULT_FACTS, **said, **shown}
    if type(facts["max_history"]) is not int:
        raise ValueError(f"its max_history is {reprlib.repr(facts['max_history'])}, expected a whole number")
    if not isinstance(facts["dropout"], (int, float)) or not 0 <= facts["dropout"] < 1:
        raise ValueError(f"its dropout is {reprlib.repr(facts['dropout'])}, expected a number from 0 up to 1")
    if facts.get("num_heads", 1) != 1:
        raise ValueError(f"it has {reprlib.repr(facts['num_heads'])} attention heads; the released models have 1")
    return facts


def _told_by_shapes(arch: str, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    rows, hidden_size = tensors["item_embeddings.weight"].shape
    facts = {"num_items": rows - 1, "hidden_size": hidden_size}
    window, axis = {
        "sasrec": ("positional_embeddings.weight", 0),
        "caser": ("vertical_cnn.weight", 2),
    }.get(arch, ("", 0))
    if window in tensors and tensors[window].ndim > axis:
        facts["max_history"] = tensors[window].shape[axis]
    return facts


def _check(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    missing, surplus = expected.keys() - found.keys(), found.keys() - expected.keys()
    if missing or surplus:
        raise ValueError(f"weights do not match: missing {_some(missing)}; not known {_some(surplus)}")
    for name, model in expected.items():
        if found[name].shape != model.shape:
            raise ValueError(f"{name} has shape {tuple(found[name].shape)}, expected {tuple(model.shape)}")
        if not found[name].is_floating_point():
            raise ValueError(f"{name} is of type {found[name].dtype}, expected floats")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:4]) + (f" and {len(ordered) - 4} more" if len(ordered) > 4 else "") or "none"
