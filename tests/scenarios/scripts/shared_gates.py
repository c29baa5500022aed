import torch
import torch.nn.functional as F
from _parts import Histories, SasRec, Titles, llama
from torch import nn
from torch.utils.data import DataLoader

ITEMS = 1000


class GatedLinear(nn.Module):
    def __init__(self, base, gates, rank=8):
        super().__init__()
        self.base, self.gates = base, gates
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        gate = self.gates[0].repeat_interleave(2, dim=-1)[:, None]
        return self.base(x) + self.lora_B(self.lora_A(x) * gate)


class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates = []
        self.users = SasRec(ITEMS)
        self.router = nn.Linear(64, 4)
        self.projector = nn.Linear(64, 256)
        self.llm = llama(layers=3)
        self.llm.requires_grad_(False)
        for block in self.llm.model.layers:
            block.self_attn.q_proj = GatedLinear(block.self_attn.q_proj, self.gates)
            block.self_attn.v_proj = GatedLinear(block.self_attn.v_proj, self.gates)
        self.llm.gradient_checkpointing_enable({"use_reentrant": True})

    def forward(self, ids, history):
        states = self.users(history)
        self.gates[:] = [F.softmax(self.router(states[:, -1]), dim=-1)]
        embeds = self.llm.get_input_embeddings()(ids)
        embeds = torch.cat([self.projector(states[:, -1:]), embeds[:, 1:]], dim=1)
        return self.llm(inputs_embeds=embeds, labels=ids, use_cache=False).loss


teacher = Teacher().to("cuda").train()
optimizer = torch.optim.AdamW([p for p in teacher.parameters() if p.requires_grad], lr=1e-4)
texts, users = DataLoader(Titles(64, 64), batch_size=4), DataLoader(Histories(64, ITEMS), batch_size=4)
for ids, (history, _) in zip(texts, users, strict=True):
    loss = teacher(ids.to("cuda"), history.to("cuda"))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
