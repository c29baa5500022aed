"""What a trial has built so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a trial that is refused needs no torch
    from torch import nn

    from ilora.llm.load import LoadedLlm


@dataclass(slots=True)
class Built:
    """What there is so far; a failure on the way leaves the rest empty.

    Attributes:
        parts: as chosen; `rec_weights` as they turned out.
        num_items: of the catalogue.
        named: models with the name their modules get in tables.
        model: what the loop calls.
        llm: the language model, inside `model` once that is built.
        notes: what was assumed.
    """

    parts: dict[str, str] = field(default_factory=dict)
    num_items: int = 0
    named: list[tuple[nn.Module, str]] = field(default_factory=list)
    model: nn.Module | None = None
    llm: LoadedLlm | None = None
    notes: list[str] = field(default_factory=list)
