"""Forward and backward within the optimizer's step, as Lightning has it."""

import torch
from torch import nn

model = nn.Sequential(nn.Linear(512, 512), nn.Linear(512, 512)).cuda()
optimizer = torch.optim.Adam(model.parameters())


def closure() -> torch.Tensor:
    optimizer.zero_grad()
    loss = model(torch.ones(8, 512, device="cuda")).sum()
    loss.backward()
    return loss


for _ in range(2):
    optimizer.step(closure)
print("peaks", torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
