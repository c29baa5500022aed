import torch
from _parts import Titles, opt
from torch.utils.data import DataLoader

VOCAB = 16384
device = torch.device("cuda")
model = opt(layers=2, vocab=VOCAB).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
loader = DataLoader(Titles(2048, 192, VOCAB), batch_size=112, shuffle=True)
predictions, answers = [], []


def train_epoch():
    model.train()
    for ids in loader:
        ids = ids.to(device)
        outputs = model(input_ids=ids, labels=ids)
        outputs.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        predictions.append(outputs.logits.detach())
        answers.append(ids)


def accuracy():
    right = [(p.argmax(-1)[:, :-1] == a[:, 1:]).float().mean() for p, a in zip(predictions, answers, strict=True)]
    return sum(right) / len(right)


train_epoch()
print("accuracy", float(accuracy()))
