import _parts
import torch
from torch.utils.data import DataLoader

VOCAB = 50272
device = "cuda"
model = _parts.opt(layers=2, vocab=VOCAB).to(device=device, dtype=torch.bfloat16)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
loader = DataLoader(_parts.Prompts(240, 512, 512, vocab=VOCAB), batch_size=60)

for batch in loader:
    ids, labels = batch["input_ids"].to(device), batch["labels"].to(device)
    loss = model(input_ids=ids, labels=labels, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
