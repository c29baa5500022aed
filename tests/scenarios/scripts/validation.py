import torch
from _parts import Titles, opt
from torch.utils.data import DataLoader

device = "cuda"


def train_epoch(model, optimizer, loader):
    model.train()
    for ids in loader:
        ids = ids.to(device)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def validate(model, loader):
    model.eval()
    total = torch.zeros((), device=device)
    for ids in loader:
        ids = ids.to(device)
        total += model(input_ids=ids, labels=ids, use_cache=False).loss
    return total.item() / len(loader)


model = opt(layers=2).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
for epoch in range(3):
    train_epoch(model, optimizer, DataLoader(Titles(720, 128), batch_size=360, shuffle=True))
    print(epoch, validate(model, DataLoader(Titles(3600, 128, seed=1), batch_size=360)))
