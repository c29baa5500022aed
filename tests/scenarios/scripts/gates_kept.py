import torch
import torch.nn.functional as F
from _parts import Histories, SasRec
from torch import nn
from torch.utils.data import DataLoader

ITEMS, LENGTH, WIDTH, EXPERTS = 2000, 200, 128, 4


class GatedHead(nn.Module):
    def __init__(self, router):
        super().__init__()
        self.router = router
        self.lora_A = nn.Linear(WIDTH, 16, bias=False)
        self.lora_B = nn.Linear(16, ITEMS + 1, bias=False)

    def forward(self, state):
        _, gate = self.router.current[-1]
        weight = gate.repeat_interleave(16 // EXPERTS, dim=-1)
        return self.lora_B(self.lora_A(state) * weight)


class Router(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.score = nn.Linear(WIDTH, EXPERTS)
        self.current = []

    def forward(self, history):
        states = self.encoder(history)
        gate = F.softmax(self.score(states.mean(dim=1)), dim=-1)
        self.current.append((states, gate))
        return states


device = torch.device("cuda:0")
router = Router(SasRec(ITEMS, WIDTH, LENGTH, layers=1)).to(device)
head = GatedHead(router).to(device)
optimizer = torch.optim.Adam([*router.parameters(), *(p for n, p in head.named_parameters() if "lora" in n)], lr=1e-3)
loader = DataLoader(Histories(16 * 1400, ITEMS, LENGTH), batch_size=1400)

for number, (history, following) in enumerate(loader):
    states = router(history.to(device))
    loss = F.cross_entropy(head(states[:, -1]), following.to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if number % 20 == 0:
        print(f"{number}: {loss.item():.3f}")
