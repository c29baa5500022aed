import math

import torch
import torch.nn.functional as F
from _parts import Histories, SasRec, Titles, llama
from torch import nn
from torch.utils.data import DataLoader

ITEMS = 2000


class Gates:
    now = None


class MoeLora(nn.Module):
    def __init__(self, base, rank=8, experts=4, alpha=16):
        super().__init__()
        self.base = base
        self.num_experts = experts
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, experts, rank // experts))
        self.scaling = alpha / rank
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x):
        low = F.linear(x, self.lora_A).unflatten(-1, (self.num_experts, -1))
        gate = Gates.now[:, None, :, None]
        update = (gate * torch.einsum("bsnr,onr->bsno", low, self.lora_B)).sum(dim=2)
        return self.base(x) + self.scaling * update


device = "cuda"
model = llama(layers=2, hidden=512)
model.requires_grad_(False)
for block in model.model.layers:
    for parent, names in (
        (block.self_attn, ("q_proj", "k_proj", "v_proj", "o_proj")),
        (block.mlp, ("gate_proj", "up_proj", "down_proj")),
    ):
        for name in names:
            setattr(parent, name, MoeLora(getattr(parent, name)))
model.to(device)
users = SasRec(ITEMS).to(device)
router = nn.Linear(64, 4).to(device)
trained = [p for m in (model, users, router) for p in m.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)

texts = DataLoader(Titles(880, 256), batch_size=220)
for ids, (history, _) in zip(texts, DataLoader(Histories(880, ITEMS), batch_size=220), strict=True):
    Gates.now = F.softmax(router(users(history.to(device))[:, -1]), dim=-1)
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
