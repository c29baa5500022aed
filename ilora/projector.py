"""From a recommender's item embedding to a vector the language model can read."""

from __future__ import annotations

import torch
from torch import nn


class MlpProjector(nn.Sequential):
    """Linear - GELU - Linear, in float32.

    Args:
        in_features: width of the recommender's item embeddings.
        out_features: width of the language model's input embeddings.

    Shape: (..., in_features) -> (..., out_features).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, out_features, dtype=torch.float32),
            nn.GELU(),
            nn.Linear(out_features, out_features, dtype=torch.float32),
        )
