"""target_logits: logits where a label is, and nowhere else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probes.interventions.act import Act
from probes.interventions.seams import Proceed, named

_IGNORED = -100  # of transformers' loss functions
_WORTH_IT = 1 << 20  # logits fewer than these are no memory to speak of
_LEAST_SHARE = 0.1  # of positions without a label; the last token of a sample never has one


def target_logits(act: Act) -> None:
    """Where a language model is given labels, its head sees the positions that have one; so does `F.cross_entropy`.

    The model's own head and loss are run, on fewer positions. `logits` of the answer are those of the labelled
    positions alone, in one row. Logits that a script computes without telling the model its labels are computed as
    ever: there the loss alone is relieved.
    """
    _of_models(act)
    _of_losses(act)


def _of_models(act: Act) -> None:
    def around(model: Any, given: dict[str, Any], proceed: Proceed) -> Any:
        shifted = _shifted_labels(model, given)
        if shifted is None:
            return proceed(given)
        places = (shifted.flatten() != _IGNORED).nonzero().flatten()
        count = max(1, len(places))
        if count > (1 - _LEAST_SHARE) * shifted.numel():
            return proceed(given)
        act.met(round(1 - count / shifted.numel(), 3), type(model).__name__)
        if not act.is_applied:
            return proceed(given)
        if not len(places):
            places = torch.zeros(1, dtype=torch.long, device=shifted.device)
        packed = shifted.flatten().index_select(0, places)[None]
        with _packing(model.get_output_embeddings(), places):
            return proceed({**given, "shift_labels": packed})

    act.seams.around_model(around)


def _shifted_labels(model: Any, given: dict[str, Any]) -> Tensor | None:
    """The label of each position's next token, for a causal language model with a head of its own."""
    labels = given.get("labels")
    is_causal = type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))
    if not is_causal or not isinstance(labels, Tensor) or given.get("shift_labels") is not None:
        return None
    if given.get("logits_to_keep") or not isinstance(model.get_output_embeddings(), nn.Module):
        return None
    return F.pad(labels, (0, 1), value=_IGNORED)[..., 1:]


@contextmanager
def _packing(head: nn.Module, places: Tensor) -> Iterator[None]:
    """Let the head see the chosen positions, of all samples in one row."""

    def pack(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = args[0]
        rows = hidden.reshape(-1, hidden.shape[-1]).index_select(0, places.to(hidden.device))
        return (rows[None], *args[1:])

    handle = head.register_forward_pre_hook(pack)
    try:
        yield
    finally:
        handle.remove()


def _of_losses(act: Act) -> None:
    plain = F.cross_entropy
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def cross_entropy(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given = named(signature, input, args, kwargs)
        if given is None or not _is_large_table(input, given):
            return plain(input, *args, **kwargs)
        target = given["target"]
        places = (target != given.get("ignore_index", _IGNORED)).nonzero().flatten()
        if not 0 < len(places) <= (1 - _LEAST_SHARE) * len(target):
            return plain(input, *args, **kwargs)
        act.met(round(1 - len(places) / len(target), 3))
        if not act.is_applied:
            return plain(input, *args, **kwargs)
        given["target"] = target.index_select(0, places)
        return plain(input.index_select(0, places), **given)

    act.seams.patches.replace(F, "cross_entropy", cross_entropy)


def _is_large_table(input: Tensor, given: dict[str, Any]) -> bool:
    target = given.get("target")
    is_table = input.dim() == 2 and isinstance(target, Tensor) and target.dim() == 1
    return is_table and input.numel() >= _WORTH_IT and given.get("reduction", "mean") != "none"
