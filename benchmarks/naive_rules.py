"""Two rules of thumb that people use instead of running anything, to stand beside this project's predictions.

Neither knows of activations, workspaces or temporaries; what a row says is all they get.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FLOAT32 = 4
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the rules ask of a row.

    Attributes:
        trains: whether a backward pass belongs to it.
        weight_bytes: per parameter.
        adapter_params: trainable parameters of adapters, kept in float32; None: all parameters train.
        states: tensors as large as a parameter that the optimizer keeps: 2 for Adam.
        num_params: of the model without adapters; None where the row does not count them.
    """

    trains: bool
    weight_bytes: int
    adapter_params: int | None
    states: int
    num_params: int | None = None


def outline_of(row: dict[str, Any]) -> Outline:
    """The outline of a row of memory_cases.jsonl."""
    method, optimizer = str(row["method"]), str(row.get("optimizer") or "")
    trains = not method.startswith("forward")
    steps = trains and bool(optimizer) and "never stepped" not in optimizer and "SGD" not in optimizer
    return Outline(
        trains=trains,
        weight_bytes=_BYTES[row["dtype"]],
        adapter_params=_adapter_params(row) if row.get("lora") else None,
        states=2 if steps else 0,
        num_params=row.get("model", {}).get("params"),
    )


def _adapter_params(row: dict[str, Any]) -> int:
    """LoRA on q, k, v and o of every layer: r (inputs + outputs) each."""
    model = row["model"]
    hidden, small = model["hidden"], model["hidden"] // model["heads"] * model["kv_heads"]
    pairs = {"q_proj": 2 * hidden, "k_proj": hidden + small, "v_proj": hidden + small, "o_proj": 2 * hidden}
    return int(row["lora"]["r"] * model["layers"] * sum(pairs[target] for target in row["lora"]["targets"]))


def accelerate_rule(outline: Outline, num_params: int) -> int:
    """`accelerate estimate-memory`: the weights; for training with Adam the largest of its four columns.

    That is four times the float32 size for float32, and twice the float32 size for halves. Source:
    accelerate/commands/estimate.py, `estimate_training_usage`, read in 1.x.
    """
    if not outline.trains:
        return num_params * outline.weight_bytes
    return num_params * FLOAT32 * (4 if outline.weight_bytes == FLOAT32 else 2)


def formula(outline: Outline, num_params: int) -> int:
    """Weights, and where it trains gradients and optimizer states in the type of what they belong to."""
    weights = num_params * outline.weight_bytes
    if not outline.trains:
        return weights
    if outline.adapter_params is None:
        return weights * (2 + outline.states)
    return weights + outline.adapter_params * FLOAT32 * (1 + outline.states)
