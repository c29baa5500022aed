"""Asks for something that is not modelled, within a module, and wraps the error."""

import torch
from torch import nn


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.LSTM(8, 8)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(inputs)[0]


try:
    Recurrent().cuda()(torch.ones(4, 2, 8, device="cuda"))
except RuntimeError as error:
    raise ValueError("no training today") from error
