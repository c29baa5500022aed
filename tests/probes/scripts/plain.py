"""What most scripts are: arguments, a device if there is one, a loader with workers, a compiled model, a checkpoint."""

import argparse
import sys

import torch
from helper import LABELS
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--save")
parser.add_argument("--exit", type=int, default=0)
args = parser.parse_args()


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(nn.Linear(16, args.width), nn.ReLU(), nn.Linear(args.width, LABELS)).to(device)
    compiled = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters())
    data = TensorDataset(torch.randn(64, 16), torch.randint(0, LABELS, (64,)))
    for step, (inputs, labels) in enumerate(DataLoader(data, batch_size=8, num_workers=1, pin_memory=True)):
        loss = nn.functional.cross_entropy(compiled(inputs.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print("step", step, round(loss.item(), 3), device)
    if args.save:
        torch.save(model.state_dict(), args.save)
        torch.save({"step": step}, f"{args.save}.steps")
    print("arguments", sys.argv[1:])
    sys.exit(args.exit)


if __name__ == "__main__":
    main()
