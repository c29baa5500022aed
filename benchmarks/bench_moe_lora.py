"""The gated update of MoE-LoRA as one autograd node against the per-expert formulation: time and saved bytes.

Both add to the same base output, forward and backward, with gradients for x, A, B and the gates; r = 8, N = 4, S = 300.
The base layer's matrix product is the same for both and left out, except in the last two rows, which show the layer as
a whole. Times are medians over interleaved repeats in one process, the ratio is the median of the pairs' ratios. Saved
bytes are what autograd keeps from forward to backward, each storage once: x is counted on both sides though a real
layer shares it with its neighbours ("beyond x" leaves it out), weights are not, the base output neither keeps. The
per-expert side is spared the release's float32 copies: its gates come in x's type.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.naive_moe_lora import per_expert_update
from benchmarks.timing import machine, paired
from ilora.lora.function import gated_update

RANK, NUM_EXPERTS, SEQUENCE, SCALING = 8, 4, 300, 16.0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one row of the table measures."""

    shape: tuple[int, int]
    dtype: torch.dtype
    batch: int
    dropout: float = 0.0
    with_base: bool = False

    def __str__(self) -> str:
        extras = f" dropout {self.dropout}" * (self.dropout > 0) + " with base" * self.with_base
        return f"{self.shape[0]}/{self.shape[1]} {str(self.dtype).removeprefix('torch.')} B={self.batch}{extras}"


# The rows the promise is about: LLM sizes, two types, two batches.
PROMISED = [
    Setting(shape=shape, dtype=dtype, batch=batch)
    for shape in ((1024, 2752), (4096, 11008))
    for dtype in (torch.float32, torch.bfloat16)
    for batch in (1, 4)
]
FOR_CONTEXT = [
    Setting(shape=(1024, 2752), dtype=torch.float32, batch=4, dropout=0.1),
    Setting(shape=(4096, 11008), dtype=torch.bfloat16, batch=1, dropout=0.1),
    Setting(shape=(1024, 2752), dtype=torch.float32, batch=4, with_base=True),
    Setting(shape=(4096, 11008), dtype=torch.float32, batch=1, with_base=True),
]


class Case:
    """The two formulations on the same tensors."""

    def __init__(self, setting: Setting) -> None:
        in_features, out_features = setting.shape
        outer = (setting.batch, SEQUENCE)
        self.setting = setting
        self.x = torch.randn(*outer, in_features).to(setting.dtype).requires_grad_()
        self.base_output = torch.randn(*outer, out_features).to(setting.dtype)
        self.grad = torch.randn(*outer, out_features).to(setting.dtype)
        self.weight = (torch.randn(out_features, in_features) / in_features**0.5).to(setting.dtype)
        self.lora_a = (torch.randn(RANK, in_features) / in_features**0.5).requires_grad_()
        self.lora_b = (torch.randn(out_features, RANK) / RANK**0.5).requires_grad_()
        self.gates = torch.rand(setting.batch, NUM_EXPERTS).softmax(dim=1).requires_grad_()

    def per_expert(self) -> Tensor:
        """Forward of the formula as it is written."""
        dropped = F.dropout(self.x, self.setting.dropout) if self.setting.dropout else self.x
        return per_expert_update(self._base(self.x), dropped, self.lora_a, self.lora_b, self.gates, scaling=SCALING)

    def fused(self) -> Tensor:
        """Forward of ours."""
        rows, dropout = self.x.view(-1, self.x.shape[2]), self.setting.dropout
        base = self._base(rows)
        output = gated_update(base, rows, self.lora_a, self.lora_b, self.gates, scaling=SCALING, dropout=dropout)
        return output.view_as(self.base_output)

    def step(self, forward: Callable[[], Tensor]) -> Callable[[], None]:
        """Forward and backward, leaving no gradients behind."""
        leaves = (self.x, self.lora_a, self.lora_b, self.gates)

        def run() -> None:
            torch.autograd.grad(forward(), leaves, self.grad)

        return run

    def saved_bytes(self, forward: Callable[[], Tensor]) -> int:
        """Bytes autograd keeps for backward, without the weights."""
        weights = {tensor.untyped_storage().data_ptr() for tensor in (self.weight, self.lora_a, self.lora_b)}
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = forward()  # alive until the bytes are counted, so that no storage is counted twice or missed
        assert output.shape == self.base_output.shape
        return sum(size for pointer, size in saved.items() if pointer not in weights)

    def _base(self, x: Tensor) -> Tensor:
        """The base layer's output for x in the shape its formulation gives it."""
        if self.setting.with_base:
            return F.linear(x, self.weight)
        return self.base_output.detach().view(*x.shape[:-1], -1)


def measure(setting: Setting) -> dict[str, float]:
    """Prints one row of the table and returns its ratios."""
    case = Case(setting)
    time = paired(case.step(case.per_expert), case.step(case.fused), repeats=7)
    naive, fused = case.saved_bytes(case.per_expert), case.saved_bytes(case.fused)
    x_bytes = case.x.untyped_storage().nbytes()
    saved, beyond = naive / fused, (naive - x_bytes) / (fused - x_bytes)
    print(
        f"{setting!s:38} {time.a_s * 1e3:>8.1f} ms {time.b_s * 1e3:>7.1f} ms {time.ratio:>6.1f} x"
        f" {saved:>6.1f} x {beyond:>7.0f} x",
        flush=True,
    )
    return {"time": round(time.ratio, 2), "saved": round(saved, 2)}


def main() -> None:
    torch.manual_seed(0)
    # One thread: on a shared machine, waiting for a second core would be timed too.
    torch.set_num_threads(1)
    print(machine())
    print(f"{'in/out':38} {'per expert':>11} {'fused':>10} {'time':>8} {'saved':>8} {'beyond x':>9}")
    promised = {str(setting): measure(setting) for setting in PROMISED}
    context = {str(setting): measure(setting) for setting in FOR_CONTEXT}
    times, saved = ([row[key] for row in promised.values()] for key in ("time", "saved"))
    summary = {
        "min_time_ratio": min(times),
        "median_time_ratio": round(statistics.median(times), 2),
        "min_saved_ratio": min(saved),
        "median_saved_ratio": round(statistics.median(saved), 2),
    }
    print(json.dumps({"benchmark": "moe_lora", **summary, "promised": promised, "context": context}))


if __name__ == "__main__":
    main()
