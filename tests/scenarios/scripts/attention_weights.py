import torch
import torch.nn.functional as F
from _parts import Histories
from torch import nn
from torch.utils.data import DataLoader

ITEMS, LENGTH, WIDTH = 5000, 512, 128


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x):
        y = self.norm_1(x)
        x = x + self.attention(y, y, y)[0]
        return x + self.mlp(self.norm_2(x))


class Recommender(nn.Module):
    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(ITEMS + 1, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))

    def forward(self, history):
        return self.blocks(self.items(history))[:, -1] @ self.items.weight.T


device = "cuda"
model = Recommender().to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for history, following in DataLoader(Histories(2400, ITEMS, LENGTH), batch_size=600):
    loss = F.cross_entropy(model(history.to(device)), following.to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
