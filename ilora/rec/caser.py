"""Caser: convolutions over the history seen as an image (Tang & Wang 2018), as in the release."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilora.rec.base import Recommender

INIT_STD = 0.01
FILTER_HEIGHTS = (2, 3, 4)
NUM_FILTERS = 16


class Caser(Recommender):
    """The user is 16 horizontal filters of each height, maximum over time, then the vertical filter: U = 48 + D."""

    arch: ClassVar[str] = "caser"

    def __init__(self, num_items: int, hidden_size: int = 64, max_history: int = 10, dropout: float = 0.1) -> None:
        if max_history < max(FILTER_HEIGHTS):
            raise ValueError(f"caser needs a max_history of at least {max(FILTER_HEIGHTS)} items, got {max_history}")
        user_size = NUM_FILTERS * len(FILTER_HEIGHTS) + hidden_size
        super().__init__(num_items, hidden_size, user_size, max_history, dropout)
        nn.init.normal_(self.item_embeddings.weight, 0.0, INIT_STD)
        self.horizontal_cnn = nn.ModuleList(
            nn.Conv2d(1, NUM_FILTERS, (height, hidden_size)) for height in FILTER_HEIGHTS
        )
        self.vertical_cnn = nn.Conv2d(1, 1, (max_history, 1))
        self.dropout = nn.Dropout(dropout)

    def forward(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, I) for the next item."""
        logits: Tensor = self.s_fc(self.dropout(self.encode_users(history, lengths)))
        return logits

    def _encode(self, history: Tensor, lengths: Tensor) -> Tensor:
        history = F.pad(history, (0, self.max_history - history.shape[1]), value=self.pad_id)
        used = (history != self.pad_id).unsqueeze(-1)
        image = self.item_embeddings(history) * used
        horizontal = [_slide(image, *_filters(conv)).relu().amax(1) for conv in self.horizontal_cnn]
        weight, bias = _filters(self.vertical_cnn)
        vertical = (torch.einsum("bld,l->bd", image, weight.flatten()) + bias).relu()
        return torch.cat([*horizontal, vertical], dim=1)


def _filters(conv: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.weight, conv.bias


def _slide(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve (B, L, D) with filters (F, 1, k, D) as wide as the image: (B, L - k + 1, F).

    That is a sum of k shifted projections, which trains three times faster on a CPU than a general convolution.
    """
    height = weight.shape[2]
    num_places = image.shape[1] - height + 1
    parts = [F.linear(image[:, step : step + num_places], weight[:, 0, step]) for step in range(height)]
    return torch.stack(parts).sum(0) + bias
