"""Writing items into a batch's embeddings: one `index_put` against a loop that writes place by place.

Forward and backward at the size of the papers' batches: 8 samples, 300 tokens, 30 placeholders each, width 1024.
"""

from __future__ import annotations

import json

import torch
from torch import Tensor

from benchmarks.timing import machine, paired

B, S, K, H = 8, 300, 30, 1024


def main() -> None:
    torch.manual_seed(0)
    embeds = torch.randn(B, S, H)
    values = torch.randn(B * K, H, requires_grad=True)
    cols = torch.stack([torch.randperm(S)[:K] for _ in range(B)]).flatten()
    rows = torch.arange(B).repeat_interleave(K)

    def at_once() -> Tensor:
        return embeds.index_put((rows, cols), values)

    def one_by_one() -> Tensor:
        written = embeds.clone()
        for index in range(B * K):
            written[rows[index], cols[index]] = values[index]
        return written

    assert torch.equal(at_once(), one_by_one())
    grads = [torch.autograd.grad(write().square().sum(), values)[0] for write in (at_once, one_by_one)]
    assert torch.equal(*grads)
    forward = paired(one_by_one, at_once)
    both = paired(lambda: one_by_one().sum().backward(), lambda: at_once().sum().backward(), repeats=5)
    print(machine())
    print(f"forward            loop / index_put: {forward}")
    print(f"forward + backward loop / index_put: {both}")
    print(json.dumps({"forward_ratio": round(forward.ratio, 1), "forward_backward_ratio": round(both.ratio, 1)}))


if __name__ == "__main__":
    main()
