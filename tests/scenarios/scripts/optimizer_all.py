import torch
from _parts import Titles, llama
from peft import LoraConfig, get_peft_model
from torch.utils.data import DataLoader

device = "cuda"
base = llama(layers=8, hidden=1024)
model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
for name, parameter in model.named_parameters():
    parameter.requires_grad = "rotary" not in name
model.to(device)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

model.train()
for ids in DataLoader(Titles(256, 96), batch_size=60, shuffle=True):
    ids = ids.to(device)
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
