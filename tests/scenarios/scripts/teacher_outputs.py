import torch
import torch.nn.functional as F
from _parts import Histories, SasRec
from torch.utils.data import DataLoader, TensorDataset

ITEMS = 40000
device = torch.device("cuda")
data = Histories(14 * 1600, ITEMS)
numbers = torch.arange(len(data))
loader = DataLoader(TensorDataset(numbers, data.history, data.following), batch_size=1600)

teacher = SasRec(ITEMS, 128, layers=4).to(device).eval()
student = SasRec(ITEMS).to(device)
optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
scores = {}


def teacher_scores(number, history):
    key = int(number[0])
    if key not in scores:
        with torch.no_grad():
            scores[key] = teacher(history)[:, -1] @ teacher.items.weight.T
    return scores[key].to(device)


for epoch in range(2):
    for number, history, following in loader:
        history, following = history.to(device), following.to(device)
        own = student(history)[:, -1] @ student.items.weight.T
        wanted = F.softmax(teacher_scores(number, history), dim=-1)
        loss = F.cross_entropy(own, following) + 0.8 * F.cross_entropy(own, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print("epoch", epoch, float(loss))
