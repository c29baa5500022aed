import torch
from _parts import Titles, opt
from torch.utils.data import DataLoader

device = "cuda"
model = opt(layers=2).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = DataLoader(Titles(4096, 256), batch_size=256)
fixed = Titles(144, 256, seed=1).ids.to(device)
curve = []

model.train()
for step, ids in enumerate(loader):
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    curve.append(model(input_ids=fixed, labels=fixed).loss)
    print(step, loss.item())
print("final", float(sum(curve)) / len(curve))
