"""The only thing that comes from the host is empty: a category of nothing."""

import torch

empty = torch.zeros(0).cuda()
weight = torch.zeros(1000, device="cuda")
print(len(empty), weight.is_cuda)
