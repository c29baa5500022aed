"""Runs out of memory in the second layer of the second step, after it has caught an error once."""

import torch
from torch import nn


class Growing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1024, 1024), nn.Linear(1024, 1024)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs))


try:
    torch.empty(1 << 50, device="cuda")
except torch.OutOfMemoryError:
    print("too much")
model = Growing().cuda()
optimizer = torch.optim.SGD(model.parameters())
for rows in (1024, 200 * 1024):
    model(torch.ones(rows, 1024, device="cuda")).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
