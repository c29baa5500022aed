"""What each change of a setting would make of the peak: one trace a change, everything else as configured."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ilora.config import Config
from ilora_diag.hardware.gpus import GpuSpec
from ilora_diag.schema import Knob, Unavailable
from probes.estimate_replay import Replay

_WITHOUT_NEW_TEACHER = frozenset(
    {
        "train.batch_size",
        "data.max_seq_len",
        "train.gradient_checkpointing",
        "llm.attn_implementation",
        "train.optimizer",
        "eval.batch_size",
        "eval.scoring",
        "eval.generation",
    }
)
_SHORTEST, _FEWEST_TARGETS = 32, ["q_proj", "v_proj"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A setting, its other value, and what that costs in words."""

    key: str
    value: Any
    cost: str

    @property
    def typed(self) -> str:
        """As one would type it."""
        value = self.value
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, list):
            value = f"[{','.join(value)}]"
        return f"{self.key}={value}"

    @property
    def needs_new_teacher(self) -> bool:
        """Whether loading and building are different with it."""
        return self.key not in _WITHOUT_NEW_TEACHER


def knob_of(change: Change, found: Replay, *, of_run: bool = False) -> Knob:
    """What a change makes of the peak."""
    return Knob(
        change=change.typed,
        peak_allocated_bytes=found.peak_allocated_bytes,
        peak_reserved_bytes=found.peak_reserved_bytes,
        cost=change.cost,
        of_run=of_run,
    )


def unknown_knob(change: Change, error: Exception, *, of_run: bool = False) -> Knob:
    """A change that cannot be traced, and why."""
    unknown = Unavailable(reason=str(error).splitlines()[0], source="estimate")
    return Knob(
        change=change.typed,
        peak_allocated_bytes=unknown,
        peak_reserved_bytes=unknown,
        cost=change.cost,
        of_run=of_run,
    )


def changed(config: Config, key: str, value: Any) -> Config:
    """A copy of the configuration with one key changed."""
    made = copy.deepcopy(config)
    group, _, name = key.partition(".")
    setattr(getattr(made, group), name, value)
    return made


def changes(config: Config, spec: GpuSpec) -> Iterator[Change]:
    """The changes worth trying for a configuration; none that it has already."""
    train, data, lora = config.train, config.data, config.lora
    if train.batch_size > 1:
        cost = "fewer samples a step; train.gradient_accumulation_steps makes up for them"
        yield Change(key="train.batch_size", value=train.batch_size // 2, cost=cost)
    if data.max_seq_len // 2 >= _SHORTEST:
        cost = "older items of the history are left out of the prompt"
        yield Change(key="data.max_seq_len", value=data.max_seq_len // 2, cost=cost)
    if not train.gradient_checkpointing:
        cost = "about a third more time a step: the forward pass is computed again"
        yield Change(key="train.gradient_checkpointing", value=True, cost=cost)
    else:
        yield Change(key="train.gradient_checkpointing", value=False, cost="none; a step is faster by about a quarter")
    attention = config.llm.attn_implementation
    if attention == "eager":
        yield Change(key="llm.attn_implementation", value="sdpa", cost="none; it is faster, too")
    elif attention == "sdpa":
        cost = "slower: every head's scores are written out; for comparison"
        yield Change(key="llm.attn_implementation", value="eager", cost=cost)
    yield from _precision(config, spec)
    if train.optimizer != "sgd":
        yield Change(key="train.optimizer", value="sgd", cost="other training dynamics; adapters usually need AdamW")
    if lora.r % (2 * lora.num_experts) == 0:
        yield Change(key="lora.r", value=lora.r // 2, cost="adapters with less capacity")
    if lora.num_experts > 1:
        yield Change(key="lora.num_experts", value=1, cost="plain LoRA: no mixture by user")
    if list(lora.target_modules) != _FEWEST_TARGETS:
        cost = "adapters on the queries and values only"
        yield Change(key="lora.target_modules", value=_FEWEST_TARGETS, cost=cost)
    if config.model.head == "lm":
        cost = "ranks items instead of writing their titles"
        yield Change(key="model.head", value="items", cost=cost)
    else:
        yield Change(key="model.head", value="lm", cost="writes titles instead of ranking items")


def _precision(config: Config, spec: GpuSpec) -> Iterator[Change]:
    """The frozen language model in the other type; what adapters learn in stays float32."""
    has_bf16 = spec.compute_capability >= (8, 0)
    effective = config.train.precision
    if effective == "auto":
        effective = "bf16" if has_bf16 else "fp32"
    if effective == "fp32":
        if has_bf16:
            yield Change(key="train.precision", value="bf16", cost="the frozen model's weights are rounded to bfloat16")
        elif config.train.loop == "plain":
            cost = "the frozen model's weights are rounded to float16, whose range is small"
            yield Change(key="train.precision", value="fp16", cost=cost)
    else:
        yield Change(key="train.precision", value="fp32", cost="none in quality; matrix products are slower")
