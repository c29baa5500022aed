import torch
from _parts import Prompts, opt
from torch.utils.data import DataLoader

MAX_LENGTH = 1024
PAD = 1


def collate(samples):
    length = MAX_LENGTH
    batch = {
        name: torch.full((len(samples), length), value)
        for name, value in (("input_ids", PAD), ("attention_mask", 0), ("labels", -100))
    }
    for row, sample in enumerate(samples):
        size = len(sample["input_ids"])
        batch["input_ids"][row, :size] = sample["input_ids"]
        batch["attention_mask"][row, :size] = 1
        batch["labels"][row, :size] = sample["labels"]
    return batch


model = opt(layers=4).to("cuda")
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
loader = DataLoader(Prompts(1024, 40, 96), batch_size=160, shuffle=True, collate_fn=collate)

model.train()
for batch in loader:
    batch = {name: values.to("cuda") for name, values in batch.items()}
    loss = model(**batch, use_cache=False).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
