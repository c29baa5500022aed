"""What a script turned out to have in force, read off its models while they are still there."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator

from torch import nn

from ilora_diag.schema.known import Settings, Value


def census(roots: Iterable[nn.Module]) -> Settings:
    """Parameters by type, those that train, attention and checkpointing, of the models that ran."""
    return tuple(_census(list(roots)))


def _census(roots: list[nn.Module]) -> Iterator[tuple[str, Value]]:
    parameters = {id(one): one for root in roots for one in root.parameters()}.values()
    if not parameters:
        return
    counts: Counter[str] = Counter()
    for one in parameters:
        counts[str(one.dtype).removeprefix("torch.")] += one.numel()
    yield from ((f"parameters.{name}", count) for name, count in sorted(counts.items()))
    yield "parameters.trainable", sum(one.numel() for one in parameters if one.requires_grad)
    modules = [module for root in roots for module in root.modules()]
    kinds = {str(kind) for module in modules if (kind := _attention(module)) is not None}
    if kinds:
        yield "attention.implementation", ", ".join(sorted(kinds))
    how = {_checkpointing(module) for module in modules} - {""}
    yield "checkpointing", ", ".join(sorted(how)) or "off"


def _attention(module: nn.Module) -> object:
    return getattr(getattr(module, "config", None), "_attn_implementation", None)


def _checkpointing(module: nn.Module) -> str:
    """How a block of transformers recomputes; empty for one that does not."""
    run = getattr(module, "_gradient_checkpointing_func", None)
    if run is None or not getattr(module, "gradient_checkpointing", False):
        return ""
    keywords = run.keywords if isinstance(run, functools.partial) else {}
    return "reentrant" if keywords.get("use_reentrant", True) else "non_reentrant"
