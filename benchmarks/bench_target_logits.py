"""Logits at the target tokens alone against logits everywhere: bytes that live at once, and time.

The vocabulary head and cross-entropy of SmolLM2 (49,152 x 576) and of Llama-2-7B (32,000 x 4,096) on 8 samples of 300
tokens with 9 target tokens each, forward and backward to the hidden states; the head is frozen.
"""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import machine, paired

B, S, T = 8, 300, 9
HEADS = {"smollm2-135m": (49_152, 576), "llama-2-7b": (32_000, 4_096)}


def saved_bytes(hidden: Tensor, weight: Tensor, targets: Tensor) -> int:
    """Bytes of everything autograd keeps for backward beyond the hidden states and the weight, plus the logits."""
    kept: dict[int, int] = {}
    known = {hidden.untyped_storage().data_ptr(), weight.untyped_storage().data_ptr()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = F.linear(hidden, weight)
        loss = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=-100)
    kept[logits.untyped_storage().data_ptr()] = logits.untyped_storage().nbytes()
    loss.backward()
    return sum(kept.values())


def main() -> None:
    torch.manual_seed(0)
    print(machine())
    summary = {}
    for name, (vocabulary, width) in HEADS.items():
        weight = torch.randn(vocabulary, width) / width**0.5
        hidden = torch.randn(B, S, width, requires_grad=True)
        targets = torch.full((B, S), -100)
        targets[:, -T:] = torch.randint(vocabulary, (B, T))
        rows, cols = (targets != -100).nonzero(as_tuple=True)

        def everywhere(weight=weight, hidden=hidden, targets=targets) -> None:
            F.cross_entropy(F.linear(hidden, weight).flatten(0, 1), targets.flatten()).backward()

        def at_targets(weight=weight, hidden=hidden, targets=targets, rows=rows, cols=cols) -> None:
            F.cross_entropy(F.linear(hidden[rows, cols], weight), targets[rows, cols]).backward()

        time = paired(everywhere, at_targets, repeats=3)
        full = saved_bytes(hidden, weight, targets)
        few = saved_bytes(hidden[rows, cols].detach().requires_grad_(), weight, targets[rows, cols])
        print(f"{name:14s} everywhere / at targets: {time}   {full / 2**20:8.1f} MiB  {few / 2**20:6.1f} MiB")
        summary[name] = {"time_ratio": round(time.ratio, 1), "bytes_ratio": round(full / few, 1)}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
