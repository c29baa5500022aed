import argparse

import torch
from _parts import Titles, opt
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=16)
parser.add_argument("--length", type=int, default=256)
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--hidden", type=int, default=256)
args = parser.parse_args()

device = "cuda"
model = opt(layers=args.layers, hidden=args.hidden).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = DataLoader(Titles(4 * args.batch_size, args.length), batch_size=args.batch_size, shuffle=True)

model.train()
for step, ids in enumerate(loader):
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    print(f"step {step} loss {loss.item():.3f}")
