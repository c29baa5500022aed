import torch
from _parts import Titles, llama
from torch.utils.data import DataLoader

device = "cuda"
model = llama(layers=2, hidden=256, attn_implementation="eager").to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

model.train()
for ids in DataLoader(Titles(216, 2048), batch_size=54):
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
