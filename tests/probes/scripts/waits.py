"""Trains one step and then waits for ever."""

import time

import torch

weight = torch.nn.Parameter(torch.ones(1000, device="cuda"))
optimizer = torch.optim.SGD([weight])
weight.sum().backward()
optimizer.step()
print("waiting", flush=True)
while True:
    time.sleep(0.1)
