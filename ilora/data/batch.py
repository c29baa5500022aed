"""One batch of prompts as tensors, ready to be moved to a device.

Shapes: B samples, S tokens, K placeholders and T target tokens over the whole batch, L places of a history, C
candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

_HOST_FIELDS = frozenset({"candidates", "target_index", "rows"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Prompts, where items go into them, and what is to be predicted. Integer tensors are int64.

    Attributes:
        input_ids: (B, S) token ids, all of them valid rows of the embedding; placeholders and padding hold the pad id.
        attention_mask: (B, S) 1 for real tokens, 0 for padding.
        placeholder_rows: (K,) sample of each place where an item's projected embedding goes.
        placeholder_cols: (K,) its column.
        placeholder_items: (K,) its item; in text-only batches the catalogue's pad id.
        hybrid: whether the placeholders stand for items; otherwise all hold the one [PH] vector.
        label_rows: (T,) sample of each target token.
        label_cols: (T,) column whose hidden state must predict it: the shift by one is already applied.
        label_ids: (T,) the token to predict. T is 0 for prompts without an answer.
        label_counts: (B,) target tokens of each sample.
        last_cols: (B,) column of the last real token.
        history: (B, L) items chosen so far, oldest first, right-padded with the catalogue's pad id. Always complete:
            what had to be left out of the prompt to fit is still here.
        history_lengths: (B,) real items in `history`.
        targets: (B,) the item chosen next.
        candidates: (B, C) items to choose from; stays on the host.
        target_index: (B,) place of the target among them, -1 where it is missing (Q17); stays on the host.
        rows: (B,) rows of the split; stays on the host.
        num_tokens: real tokens of the batch.
    """

    input_ids: Tensor
    attention_mask: Tensor
    placeholder_rows: Tensor
    placeholder_cols: Tensor
    placeholder_items: Tensor
    hybrid: bool
    label_rows: Tensor
    label_cols: Tensor
    label_ids: Tensor
    label_counts: Tensor
    last_cols: Tensor
    history: Tensor
    history_lengths: Tensor
    targets: Tensor
    candidates: Tensor
    target_index: Tensor
    rows: Tensor
    num_tokens: int

    def __len__(self) -> int:
        """How many samples (B)."""
        return self.input_ids.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with everything a model reads on `device`; what only the evaluation reads stays where it is."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch with everything that `to` moves in page-locked memory; DataLoader calls this."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of the model's tensors changed."""
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and field.name not in _HOST_FIELDS:
                changed[field.name] = change(value)
        return replace(self, **changed)
