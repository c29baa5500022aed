"""What every sequential recommender offers.

Shape legend: B rows, L places of history, D item width, U user width, I items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Recommender(nn.Module, ABC):
    """Scores the catalogue for what a user may choose next, from what they chose before.

    A history is (B, L) int64, oldest item first, right-padded with `pad_id`; `lengths` (B,) says how many of the L
    places are real, 1 .. L. Any L up to `max_history` is accepted. Parameter names are those of the released models.

    Attributes:
        arch: name of the architecture in the configuration.
        num_items: I; item ids are 0 .. I - 1.
        pad_id: I; the id of an unused place. Its embedding is an ordinary row.
        hidden_size: D, width of an item embedding.
        user_size: U, width of a user vector.
        max_history: longest history, in items.
        dropout_rate: share of activations dropped in train mode.
    """

    arch: ClassVar[str]

    def __init__(self, num_items: int, hidden_size: int, user_size: int, max_history: int, dropout: float) -> None:
        super().__init__()
        for name, value in (("num_items", num_items), ("hidden_size", hidden_size), ("max_history", max_history)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.num_items, self.pad_id = num_items, num_items
        self.hidden_size, self.user_size = hidden_size, user_size
        self.max_history, self.dropout_rate = max_history, dropout
        self.item_embeddings = nn.Embedding(num_items + 1, hidden_size)
        self.s_fc = nn.Linear(user_size, num_items)

    def forward(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, I) for the next item."""
        logits: Tensor = self.s_fc(self.encode_users(history, lengths))
        return logits

    def encode_users(self, history: Tensor, lengths: Tensor) -> Tensor:
        """User vectors (B, U), differentiable.

        Raises:
            ValueError: an empty history, one longer than `max_history`, or an id outside the catalogue. Values are
                checked where they lie in host memory; on a device that would stall every step, and what is there came
                through a collator on the host.
        """
        self._check(history, lengths)
        return self._encode(history, lengths)

    def encode_items(self, ids: Tensor) -> Tensor:
        """Item vectors (..., D) of ids (...); `pad_id` is a valid id."""
        vectors: Tensor = self.item_embeddings(ids)
        return vectors

    @abstractmethod
    def _encode(self, history: Tensor, lengths: Tensor) -> Tensor:
        """User vectors (B, U) of checked histories (B, L), L up to `max_history`."""

    def _check(self, history: Tensor, lengths: Tensor) -> None:
        num_rows, width = history.shape
        if not 1 <= width <= self.max_history:
            raise ValueError(f"a history of {width} places; this recommender takes 1 to {self.max_history}")
        if lengths.shape != (num_rows,):
            raise ValueError(f"{num_rows} histories need as many lengths, got shape {tuple(lengths.shape)}")
        if history.device.type != "cpu" or type(history) is not Tensor or not num_rows:  # a subclass may have no data
            return
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 1:
            raise ValueError("empty history: a recommender needs at least one item to start from")
        if longest > width:
            raise ValueError(f"a length of {longest} in histories of {width} places")
        low, high = int(history.min()), int(history.max())
        if low < 0 or high > self.pad_id:
            wrong = low if low < 0 else high
            raise ValueError(
                f"item id {wrong} in a history; this recommender knows 0 to {self.num_items - 1}, and {self.pad_id} "
                "for unused places: was it trained on another catalogue?"
            )


def last_rows(states: Tensor, lengths: Tensor) -> Tensor:
    """The state (B, D) at each row's last real place, out of (B, L, D)."""
    return states[torch.arange(len(states), device=states.device), lengths - 1]
