"""A virtual card for every test here, and models small enough to train in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from probes.virtual import Machine, virtual_cuda


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def card() -> Iterator[Machine]:
    """One H100 as the installed torch would drive it, whatever the environment of the tests says."""
    with virtual_cuda("h100", environ={}) as machine:
        yield machine


@pytest.fixture
def two_cards() -> Iterator[Machine]:
    with virtual_cuda("a100-80gb", devices=2, environ={}) as machine:
        yield machine


class Tiny(nn.Module):
    """Embedding, two blocks with attention-free mixing, a head: every kind of module once."""

    def __init__(self, *, vocab: int = 64, width: int = 32, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocab)
        self.register_buffer("scale", torch.ones(width))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.embed(ids) * self.scale
        for block in self.blocks:
            hidden = hidden + self.dropout(block(hidden))
        return self.head(hidden)


@pytest.fixture
def tiny() -> Callable[..., Tiny]:
    return Tiny


@pytest.fixture
def train() -> Callable[..., list[float]]:
    """Trains a model on token ids for some steps; answers the losses read."""

    def run(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3, *, device: str = "cuda") -> list[float]:
        losses = []
        ids = torch.arange(24).reshape(2, 12)
        for _ in range(steps):
            batch = ids.to(device)
            logits = model(batch)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    return run
