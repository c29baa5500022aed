"""What became of one thing that was tried, and the table of all of them."""

from __future__ import annotations

import gc
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map_only

from probes.virtual.errors import is_outside_the_model

CARRIED, REFUSED, DIFFERS, FAILED, ANYWHERE = "carried", "refused by name", "differs", "failed", "fails anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one operator, module or model.

    Attributes:
        name: its name.
        kind: one of the five above; `fails anywhere`: on the host or on meta as well, in the same words.
        detail: the error, or what differs.
    """

    name: str
    kind: str
    detail: str = ""


def failure(name: str, error: BaseException) -> Outcome:
    """An exception as an outcome."""
    text = f"{type(error).__name__}: {first_line(error)}"
    return Outcome(name=name, kind=REFUSED if is_outside_the_model(error) else FAILED, detail=text[:200])


def first_line(error: BaseException) -> str:
    """The first line of its message."""
    return (str(error).strip().splitlines() or [""])[0]


def on_card(value: Any) -> Any:
    """Nested values with their tensors moved to the card."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach().to("cuda"), value)


def wanting(tensor: Tensor) -> Tensor:
    """The tensor, as one that wants a gradient if it can."""
    return tensor.detach().requires_grad_() if tensor.dtype.is_floating_point else tensor


def sizes(value: Any) -> list[object]:
    """Sizes and types of the tensors in nested values, and the types of everything else."""
    return [
        (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else type(leaf).__name__
        for leaf in tree_flatten(value)[0]
    ]


def summed(value: Any) -> Tensor | None:
    """One number that depends on every tensor that wants a gradient; None where none does."""
    wanting = [leaf for leaf in tree_flatten(value)[0] if isinstance(leaf, Tensor) and leaf.requires_grad]
    dense = [leaf for leaf in wanting if leaf.layout is torch.strided]
    if not dense:
        return None
    parts = [(leaf.abs() if leaf.is_complex() else leaf.float()).sum() for leaf in dense]
    return torch.stack(parts).sum()


def attempt(run: Callable[[], object], *, seconds: int) -> Exception | None:
    """What came of running something, with a limit: the exception, if there was one."""
    try:
        with limited(seconds):
            run()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return error
    return None


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Gives up after so long, on the main thread."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def show(title: str, outcomes: Iterable[Outcome], write: Callable[[str], object] = print) -> int:
    """Print counts, then everything that is not carried. Returns how many failed or differ."""
    told = []
    for outcome in outcomes:
        told.append(outcome)
        gc.collect()  # what an exception held
    counts = Counter(outcome.kind for outcome in told)
    write(f"{title}: {len(told)} tried, " + ", ".join(f"{number} {kind}" for kind, number in counts.most_common()))
    for outcome in told:
        if outcome.kind != CARRIED:
            write(f"  {outcome.kind:<16} {outcome.name:<40} {outcome.detail}")
    return counts[FAILED] + counts[DIFFERS]
