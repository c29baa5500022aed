import torch
import torch.nn.functional as F
from _parts import Histories, SasRec, opt
from torch import nn
from torch.utils.data import DataLoader

ITEMS, NEIGHBOURS = 64000, 50


class Recommender(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = SasRec(ITEMS)
        self.register_buffer("together", torch.zeros(()).expand(ITEMS + 1, ITEMS + 1))

    def forward(self, history):
        near = self.together[history[:, -1], : 1 + NEIGHBOURS].mean(dim=-1, keepdim=True)
        return self.encoder(history)[:, -1] @ self.encoder.items.weight.T + near


device = "cuda"
llm = opt(layers=2).to(device)
recommender = Recommender()
recommender.to(device)
projector = nn.Linear(64, 256).to(device)
optimizer = torch.optim.Adam([*recommender.parameters(), *projector.parameters()], lr=1e-3)
for history, following in DataLoader(Histories(256, ITEMS), batch_size=16):
    history, following = history.to(device), following.to(device)
    states = llm.model(inputs_embeds=projector(recommender.encoder(history))).last_hidden_state
    loss = F.cross_entropy(recommender(history), following) + states.pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
