import argparse
import copy

import torch
from _parts import Titles, llama
from torch.utils.data import DataLoader

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int, default=22)
parser.add_argument("--lr", type=float, default=1e-4)
args = parser.parse_args()

model = llama(layers=11, hidden=1024).cuda()
before = copy.deepcopy(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)

for ids in DataLoader(Titles(512, 96), batch_size=args.batch_size):
    ids = ids.cuda()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)

moved = [(new.cpu() - old.cpu()).norm() for new, old in zip(model.parameters(), before.parameters(), strict=True)]
print("moved by", float(sum(moved)))
