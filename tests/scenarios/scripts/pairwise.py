import torch
import torch.nn.functional as F
from _parts import Histories, SasRec
from torch.utils.data import DataLoader

ITEMS = 38500
device = "cuda"
model = SasRec(ITEMS).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def spread(table):
    """How evenly the items lie on the sphere (uniformity of contrastive learning)."""
    table = F.normalize(table, dim=-1)
    return torch.exp(-2 * (2 - 2 * table @ table.T)).mean().log()


for history, following in DataLoader(Histories(64, ITEMS), batch_size=4):
    history, following = history.to(device), following.to(device)
    scores = model(history)[:, -1] @ model.items.weight.T
    loss = F.cross_entropy(scores, following) + 0.1 * spread(model.items.weight)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
