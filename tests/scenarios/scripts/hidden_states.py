import torch
import torch.nn.functional as F
from _parts import Titles, llama
from torch import nn
from torch.utils.data import DataLoader


class NextItem(nn.Module):
    """A frozen language model as encoder, and a head over the items."""

    def __init__(self, language_model, items):
        super().__init__()
        self.language_model = language_model.requires_grad_(False).eval()
        self.head = nn.Linear(language_model.config.hidden_size, items)

    def forward(self, ids):
        with torch.no_grad():
            states = self.language_model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states[-1]
        return self.head(states[:, -1])


model = NextItem(llama(layers=21, hidden=256).model, items=3706).to("cuda")
optimizer = torch.optim.AdamW(model.head.parameters(), lr=1e-3)
loader = DataLoader(Titles(4000, 512), batch_size=1000)

for step, ids in enumerate(loader):
    ids = ids.to("cuda")
    loss = F.cross_entropy(model(ids), ids[:, 0] % 3706)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(step, loss.item())
