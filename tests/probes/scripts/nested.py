"""Asks C++ for a tensor on a card that no dispatch mode sees."""

import torch

torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)], device="cuda")
