import torch
import torch.nn.functional as F
from _parts import Histories, SasRec
from torch import nn
from torch.utils.data import DataLoader

ITEMS = 1000
device = "cuda"
encoder = SasRec(ITEMS).to(device)
projector = nn.Linear(128, 256).to(device)
head = nn.Linear(256, ITEMS + 1).to(device)
optimizer = torch.optim.Adam([p for m in (encoder, projector, head) for p in m.parameters()], lr=1e-3)

for history, following in DataLoader(Histories(64, ITEMS), batch_size=8):
    state = encoder(history.to(device))[:, -1]
    loss = F.cross_entropy(head(projector(state)), following.to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
