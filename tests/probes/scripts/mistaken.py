"""Fails in the forward pass of a module that has a name."""

import torch
from torch import nn


class Broken(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        kept = inputs * 2
        raise KeyError(f"no such thing among {kept.shape[0]}")


nn.Sequential(nn.Linear(4, 4), Broken()).cuda()(torch.ones(3, 4, device="cuda"))
