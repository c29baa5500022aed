"""Sends tokens to experts and splits them by how many each got: a number that only a card can compute."""

import torch

tokens = torch.randn(8, 4, device="cuda")
chosen = (tokens @ torch.randn(4, 2, device="cuda")).argmax(-1)
loads = [int((chosen == expert).sum()) for expert in range(2)]
tokens.split(loads)
