import torch
from _parts import Titles, opt
from torch.utils.data import DataLoader

VOCAB = 128000
NEW_TOKENS = ["[HistoryEmb]", "[CansEmb]", "[ItemEmb]"]

device = "cuda"
model = opt(layers=2, hidden=1024, vocab=VOCAB).to(device)
pretrained = model.get_input_embeddings().weight.detach()
model.resize_token_embeddings(VOCAB + len(NEW_TOKENS), mean_resizing=False)
with torch.no_grad():
    model.get_input_embeddings().weight[VOCAB:] = pretrained.mean(dim=0).to(device)
model.requires_grad_(False)
for block in model.model.decoder.layers:
    block.self_attn.q_proj.requires_grad_(True)
    block.self_attn.v_proj.requires_grad_(True)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

for ids in DataLoader(Titles(132, 64, VOCAB), batch_size=33):
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
