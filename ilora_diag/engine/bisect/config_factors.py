"""What can be relaxed in a configuration of our own trainer: one factor a key, levels by halving or vocabulary."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ilora.config import Config, ConfigError, check_device, validate
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Level
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.report import Skipped

_SHORTEST, _FEWEST_TARGETS = 32, ("q_proj", "v_proj")
_LIVE = "oom_live_tensors"

Accepts = Callable[[Settings], bool]


def config_factors(config: Config, accepts: Accepts) -> tuple[Factor, ...]:
    """The factors of a configuration. Levels that the configuration would be refused with are left out.

    Args:
        config: the failing one.
        accepts: whether the configuration is allowed with settings changed.
    """
    made = []
    for factor in _all(config):
        levels = (factor.levels[0], *(level for level in factor.levels[1:] if accepts(level.changes)))
        if len(levels) > 1:
            made.append(replace(factor, levels=levels))
    return tuple(made)


def accepted_by(config: Config, device: str) -> Accepts:
    """Whether the configuration is allowed on a device with settings changed: the checks that loading ends with."""
    kind = "cpu" if device == "cpu" else "cuda"

    def accepts(changes: Settings) -> bool:
        changed = copy.deepcopy(config)
        for key, value in changes:
            group, _, name = key.partition(".")
            if group != "parts":
                setattr(getattr(changed, group), name, list(value) if isinstance(value, tuple) else value)
        try:
            validate(changed)
            check_device(changed, kind)
        except ConfigError:
            return False
        return True

    return accepts


def typed(value: Value) -> str:
    """A value as one types it behind `key=`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{','.join(typed(item) for item in value)}]"
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """How a key of the configuration is relaxed."""

    name: str
    key: str
    cost: str
    category: str
    prior: float = 1.0

    def ordered(self, now: int, milder: Sequence[int]) -> Iterator[Factor]:
        """Falling numbers, none of them the present one."""
        if milder:
            yield self._factor(FactorKind.ORDERED, now, milder)

    def one_of(self, now: Value, milder: Sequence[Value], *, is_mitigation: bool = False) -> Iterator[Factor]:
        """Other values without an order."""
        if milder:
            kind = FactorKind.BINARY if len(milder) == 1 else FactorKind.UNORDERED
            yield replace(self._factor(kind, now, milder), is_mitigation=is_mitigation)

    def _factor(self, kind: FactorKind, now: Value, milder: Sequence[Value]) -> Factor:
        levels = [Level(name=typed(now), changes=(), change="", cost="none")]
        for value in milder:
            change = f"{self.key}={typed(value)}"
            levels.append(Level(name=typed(value), changes=((self.key, value),), change=change, cost=self.cost))
        return Factor(
            name=self.name,
            kind=kind,
            scope=FactorScope.STRUCTURE if self.key.startswith("parts.") else FactorScope.SETTING,
            levels=tuple(levels),
            expects_monotone=kind is not FactorKind.UNORDERED,
            category=self.category,
            prior=self.prior,
        )


def _all(config: Config) -> Iterator[Factor]:
    yield from _of_attention(config)
    yield from _of_loop(config)
    yield from _of_sizes(config)
    yield from _of_adapters(config)
    parts = _Key(
        name="components", key="parts.components", cost="not_the_training", category="placement_tensor", prior=0.5
    )
    yield from parts.one_of("both", ("llm", "rec"))
    if config.rec.checkpoint is not None:
        weights = _Key(
            name="rec_weights", key="parts.rec_weights", cost="not_the_training", category="placement_tensor"
        )
        yield from weights.one_of("checkpoint", ("random",))


def _of_attention(config: Config) -> Iterator[Factor]:
    attention = _Key(name="attention", key="llm.attn_implementation", cost="none", category="eager_attention")
    now = config.llm.attn_implementation
    yield from attention.one_of(now, ("sdpa",) if now == "eager" else ())


def _of_loop(config: Config) -> Iterator[Factor]:
    train = config.train
    if train.loop == "lightning" and train.devices * train.num_nodes == 1:
        yield from _Key(name="loop", key="train.loop", cost="none", category=_LIVE).one_of("lightning", ("plain",))
    if train.eval_every:
        validation = _Key(name="validation", key="train.eval_every", cost="no_validation", category="retained_graph")
        yield from validation.one_of(train.eval_every, (0,))
    if config.data.num_workers:
        workers = _Key(name="workers", key="data.num_workers", cost="little_slower", category=_LIVE, prior=0.3)
        yield from workers.one_of(config.data.num_workers, (0,))
    checkpointing = _Key(name="checkpointing", key="train.gradient_checkpointing", cost="slower", category=_LIVE)
    if train.gradient_checkpointing:
        applied = replace(checkpointing, cost="none", category="reentrant_checkpoint", prior=0.5)
        yield from applied.one_of(True, (False,), is_mitigation=True)
    else:
        yield from checkpointing.one_of(False, (True,))


def _of_sizes(config: Config) -> Iterator[Factor]:
    train, data = config.train, config.data
    batch = _Key(name="batch_size", key="train.batch_size", cost="fewer_samples_a_step", category="batch_too_large")
    yield from batch.ordered(train.batch_size, halvings(train.batch_size, 1))
    length = _Key(name="seq_len", key="data.max_seq_len", cost="shorter_history", category="sequence_too_long")
    yield from length.ordered(data.max_seq_len, halvings(data.max_seq_len, _SHORTEST))
    precision = _Key(name="precision", key="train.precision", cost="rounded_weights", category=_LIVE)
    yield from precision.one_of(train.precision, () if train.precision in ("bf16", "fp16") else ("bf16", "fp16"))
    optimizer = _Key(name="optimizer", key="train.optimizer", cost="other_dynamics", category="optimizer_states")
    yield from optimizer.one_of(train.optimizer, () if train.optimizer == "sgd" else ("sgd",))
    head = _Key(name="head", key="model.head", cost="other_task", category="full_logits", prior=0.5)
    yield from head.one_of(config.model.head, ("items",) if config.model.head == "lm" else ())


def _of_adapters(config: Config) -> Iterator[Factor]:
    lora = config.lora
    rank = _Key(name="lora_rank", key="lora.r", cost="less_capacity", category=_LIVE, prior=0.5)
    yield from rank.ordered(lora.r, [r for r in halvings(lora.r, lora.num_experts) if r % lora.num_experts == 0])
    experts = _Key(
        name="experts", key="lora.num_experts", cost="less_capacity", category="dense_expert_outputs", prior=0.5
    )
    yield from experts.one_of(lora.num_experts, (1,) if lora.num_experts > 1 else ())
    targets = _Key(name="target_modules", key="lora.target_modules", cost="less_capacity", category=_LIVE, prior=0.5)
    now = tuple(lora.target_modules)
    yield from targets.one_of(now, () if now == _FEWEST_TARGETS else (_FEWEST_TARGETS,))


def halvings(value: int, lowest: int) -> list[int]:
    """`value` halved again and again, rounded down, not below `lowest`."""
    found = []
    while value // 2 >= max(lowest, 1):
        value //= 2
        found.append(value)
    return found


NEVER_DONE = (
    ("kv_cache", "our trainer calls the model with use_cache=False"),
    ("hidden_states", "our trainer asks for the last hidden states alone"),
    ("logits", "our trainer computes logits where a label is, and nowhere else"),
    ("resize_embeddings", "our trainer adds no tokens: placeholders are written over embeddings"),
    ("teacher_outputs", "our trainer keeps no outputs from step to step; eval.export streams shards"),
    ("padding", "batches are padded to their longest sample"),
    ("other_copies", "one constructor places each weight once"),
)
"""What often wastes memory elsewhere and has nothing to act on here."""


def never_done() -> tuple[Skipped, ...]:
    """The factors that do not apply to a configuration of ours, with the reason."""
    return tuple(Skipped(what=name, reason=reason) for name, reason in NEVER_DONE)
