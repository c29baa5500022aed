"""Moves a batch to the card in a thread, as prefetching loaders do."""

import threading

import torch

kept = []
thread = threading.Thread(target=lambda: kept.append(torch.ones(1 << 18).to("cuda")))
thread.start()
thread.join()
print(kept[0].device)
