"""GRU over the history (Hidasi et al. 2016), as in the release."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from ilora.rec.base import Recommender, last_rows

INIT_STD = 0.01


class GRU(Recommender):
    """The user is the hidden state after the last real item, U = D.

    Padding stands right of the history, so running over it cannot reach that state: no packing, no sorting.
    The release has no dropout here; ours, before the output layer, is for training only.
    """

    arch: ClassVar[str] = "gru"

    def __init__(self, num_items: int, hidden_size: int = 64, max_history: int = 10, dropout: float = 0.0) -> None:
        super().__init__(num_items, hidden_size, hidden_size, max_history, dropout)
        nn.init.normal_(self.item_embeddings.weight, 0.0, INIT_STD)
        self.gru = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, I) for the next item."""
        logits: Tensor = self.s_fc(self.dropout(self.encode_users(history, lengths)))
        return logits

    def _encode(self, history: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.gru(self.item_embeddings(history))
        return last_rows(states, lengths)
