"""SASRec as iLoRA uses it: one block, one head, right-padded histories (Kang & McAuley 2018, in a later variant).

It differs from the published model: keys and values come from the stream before normalisation, the residual is the
normalised query, attention has no output projection, and the feed-forward part adds and normalises by itself.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilora.rec.base import Recommender, last_rows

MASKED = -(2.0**32) + 1
"""Score of a place that must not be attended to. Finite, so that a row with nothing to attend to stays finite."""


class MultiHeadAttention(nn.Module):
    """Causal attention of one query, the last place, to all places up to it. The name is the release's; one head."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.linear_q = nn.Linear(hidden_size, hidden_size)
        self.linear_k = nn.Linear(hidden_size, hidden_size)
        self.linear_v = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, places: Tensor, lengths: Tensor) -> Tensor:
        """What the last place gathers, (B, D), from `places` (B, L, D); `query` (B, D) is added as the residual.

        One query per row lets both projections of the L places move past the sums over them, to where there is one
        vector per row: Q.(Wk x + bk) = (Q Wk).x + Q.bk, and sum p (Wv x + bv) = Wv (sum p x) + (sum p) bv.
        """
        Q = self.linear_q(query)
        scores = torch.einsum("bd,bld->bl", Q @ self.linear_k.weight, places) + (Q @ self.linear_k.bias)[:, None]
        scores = scores / Q.shape[-1] ** 0.5
        later = torch.arange(places.shape[1], device=places.device) >= lengths[:, None]
        empty = places.sum(-1) == 0  # an unused place, zeroed before; the release recognises it by its sum
        masked = max(MASKED, torch.finfo(scores.dtype).min)
        weights = scores.masked_fill(later | empty, masked).softmax(-1)
        weights = weights * (query.sum(-1, keepdim=True) != 0)
        weights = self.dropout(weights)
        gathered = torch.einsum("bl,bld->bd", weights, places)
        values: Tensor = gathered @ self.linear_v.weight.T + weights.sum(-1, keepdim=True) * self.linear_v.bias
        return values + query


class PositionwiseFeedForward(nn.Module):
    """Two layers, a residual and a normalisation of their own. Stored as convolutions of width 1, as in the release."""

    def __init__(self, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.w_1 = nn.Conv1d(hidden_size, hidden_size, 1)
        self.w_2 = nn.Conv1d(hidden_size, hidden_size, 1)
        self.layer_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        inner = F.linear(x, self.w_1.weight.squeeze(-1), self.w_1.bias).relu()
        inner = F.linear(inner, self.w_2.weight.squeeze(-1), self.w_2.bias)
        normed: Tensor = self.layer_norm(self.dropout(inner) + x)
        return normed


class SASRec(Recommender):
    """Self-attention over the history; the user is the state of the last real place, U = D.

    Only that place is computed: no other one reaches the logits, and attention is causal.
    """

    arch: ClassVar[str] = "sasrec"

    def __init__(self, num_items: int, hidden_size: int = 64, max_history: int = 10, dropout: float = 0.1) -> None:
        super().__init__(num_items, hidden_size, hidden_size, max_history, dropout)
        self.positional_embeddings = nn.Embedding(max_history, hidden_size)
        self.emb_dropout = nn.Dropout(dropout)
        self.ln_1, self.ln_2, self.ln_3 = (nn.LayerNorm(hidden_size) for _ in range(3))
        self.mh_attn = MultiHeadAttention(hidden_size, dropout)
        self.feed_forward = PositionwiseFeedForward(hidden_size, dropout)

    def _encode(self, history: Tensor, lengths: Tensor) -> Tensor:
        used = (history != self.pad_id).unsqueeze(-1)
        places = self.positional_embeddings.weight[: history.shape[1]]
        x = self.emb_dropout(self.item_embeddings(history) + places) * used
        query = self.ln_1(last_rows(x, lengths))
        y = self.ln_2(self.mh_attn(query, x, lengths))
        user: Tensor = self.ln_3(self.feed_forward(y) * last_rows(used, lengths))
        return user
