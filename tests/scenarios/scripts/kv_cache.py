import torch
import torch.nn.functional as F
from _parts import Titles, llama
from torch import nn
from torch.utils.data import DataLoader

ITEMS = 3706
device = "cuda"
encoder = llama(layers=12, hidden=256).model.to(device).requires_grad_(False)
encoder.eval()
head = nn.Sequential(nn.Linear(256, 256), nn.GELU(), nn.Linear(256, ITEMS)).to(device)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
loader = DataLoader(Titles(3600, 512), batch_size=900)

for ids in loader:
    ids = ids.to(device)
    with torch.no_grad():
        state = encoder(input_ids=ids).last_hidden_state[:, -1]
    loss = F.cross_entropy(head(state), ids[:, 0] % ITEMS)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
