"""Sends tokens to experts and splits them by how many each got: a number that only a card can compute."""

import torch

tokens = torch.randn(8, 4, device="cuda")
chosen = (tokens @ torch.randn(4, 1, device="cuda")).squeeze(-1) > 0
loads = [int(chosen.sum()), int((~chosen).sum())]
tokens.split(loads)
