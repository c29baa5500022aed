"""Checks that types cannot express: vocabularies, ranges, and combinations that cannot work."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from ilora.config.errors import ConfigError
from ilora.config.tree import Config

_TYPE_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}


def all_keys(cls: type = Config, prefix: str = "") -> Iterator[tuple[str, type, Field[Any]]]:
    """Yield (dotted key, type, dataclass field) of every leaf of the tree."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            yield from all_keys(hint, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", hint, field


def field_of(key: str) -> tuple[type, Field[Any]]:
    """Type and field of a dotted key; an unknown key is refused with the nearest known one."""
    known = {name: (hint, field) for name, hint, field in all_keys()}
    if key in known:
        return known[key]
    group = key.rpartition(".")[0]
    siblings = [name for name in known if name.rpartition(".")[0] == group] or list(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    raise ConfigError(
        key, "...", "one of the keys " + ", ".join(siblings), f"Did you mean {close[0]}?" if close else ""
    )


def describe(key: str) -> str:
    """What the key accepts, in words."""
    if key.startswith("llm.arch"):
        return "fields of a Hugging Face config, for example llm.arch.hidden_size=64"
    hint, field = field_of(key)
    return _describe(hint, field)


def validate(config: Config) -> None:
    """Check every value and every combination that does not depend on the machine or the data.

    Raises:
        ConfigError: for the first thing that is wrong.
    """
    for key, hint, field in all_keys():
        _check_value(key, _get(config, key), hint, field)
    _check_lora(config)
    _check_data(config)
    _check_train(config)
    _check_reference(config)


def check_device(config: Config, device: str) -> None:
    """Check what depends on the kind of device, `cpu` or `cuda`.

    Raises:
        ConfigError: fp16 on CPU or under Lightning, fsdp.
    """
    if device == "cpu" and config.train.precision == "fp16":
        raise ConfigError(
            "train.precision", "fp16", "fp32 or bf16 on a CPU", "fp16 needs a GPU: its loss scaler and kernels do"
        )
    if config.train.precision == "fp16" and config.train.loop == "lightning":
        raise ConfigError("train.precision", "fp16", "fp32 or bf16 with train.loop=lightning",
                          "The loss scaler is the plain loop's: type train.loop=plain")  # fmt: skip
    if config.train.strategy == "fsdp":
        raise ConfigError(
            "train.strategy",
            "fsdp",
            "auto or ddp",
            "FSDP shards what a checkpoint must hold whole; gathering it needs GPUs to be tried on, and none has been"
            if device == "cuda"
            else "FSDP needs GPUs",
        )


def check_catalogue(config: Config, num_items: int) -> None:
    """Check what depends on the number of items of the data.

    Raises:
        ConfigError: more candidates than items leave room for, top_k beyond the catalogue.
    """
    room = num_items - config.data.max_history
    if config.data.num_candidates > room:
        raise ConfigError(
            "data.num_candidates",
            config.data.num_candidates,
            f"2..{max(room, 0)}",
            f"The catalogue has {num_items} items and up to {config.data.max_history} of them are a user's history",
        )
    if config.eval.top_k > num_items:
        raise ConfigError("eval.top_k", config.eval.top_k, f"1..{num_items}, the number of items")


def _get(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _describe(hint: type, field: Field[Any]) -> str:
    choices = field.metadata.get("choices")
    if choices:
        return "one of " + ", ".join(choices)
    low, high = field.metadata.get("low"), field.metadata.get("high")
    inner = [arg for arg in get_args(hint) if arg is not type(None)]
    base = inner[0] if inner and type(None) in get_args(hint) else hint
    text = _TYPE_NAMES.get(base, "a list, for example [q_proj,v_proj]")
    if low is not None and high is not None:
        text += f" from {low:g} to {high:g}"
    elif low is not None:
        text += f", at least {low:g}"
    return text + (" or null" if base is not hint and type(None) in get_args(hint) else "")


def _check_value(key: str, value: Any, hint: type, field: Field[Any]) -> None:
    if value is None:
        return
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        close = difflib.get_close_matches(str(value), choices, n=1)
        raise ConfigError(key, value, _describe(hint, field), f"Did you mean {key}={close[0]}?" if close else "")
    low, high = field.metadata.get("low"), field.metadata.get("high")
    # `not (low <= value)` refuses nan too, which every comparison answers with False.
    if (low is not None and not low <= value) or (high is not None and not value <= high):
        raise ConfigError(key, value, _describe(hint, field))


def _check_lora(config: Config) -> None:
    lora = config.lora
    if lora.num_experts > lora.r or lora.r % lora.num_experts:
        divisors = [n for n in range(1, lora.r + 1) if lora.r % n == 0]
        raise ConfigError(
            "lora.num_experts", lora.num_experts, f"a divisor of lora.r={lora.r}: {', '.join(map(str, divisors))}"
        )
    if not lora.target_modules:
        raise ConfigError("lora.target_modules", "[]", "[auto] or names of linear layers, for example [q_proj,v_proj]")


def _check_data(config: Config) -> None:
    data = config.data
    if data.min_history > data.max_history:
        raise ConfigError("data.min_history", data.min_history, f"1..{data.max_history}, not above data.max_history")
    if data.source in ("ilora", "movielens", "table", "canonical") and data.path is None:
        raise ConfigError("data.path", "null", f"a path when data.source={data.source}", "Type data.path=...")
    if config.llm.path is not None and config.llm.name is not None:
        raise ConfigError("llm.name", config.llm.name, "null when llm.path is set", "Choose one of the two")


def _check_train(config: Config) -> None:
    train = config.train
    if train.use_reentrant:
        raise ConfigError(
            "train.use_reentrant",
            "true",
            "false",
            "Reentrant checkpointing runs a backward pass inside backward: the inner one walks through the gates into "
            "the router and frees its buffers, and the next layer dies with 'Trying to backward through the graph a "
            "second time'. Non-reentrant checkpointing keeps the same memory and is exact",
        )
    ranks = train.devices * train.num_nodes
    if train.loop == "plain" and (ranks > 1 or train.strategy != "auto"):
        key, value = ("train.devices", train.devices) if ranks > 1 else ("train.strategy", train.strategy)
        raise ConfigError(key, value, "1 rank and strategy auto in the plain loop", "Type train.loop=lightning")
    if config.llm.attn_implementation == "flash_attention_2" and config.model.head == "lm" and config.eval.scoring:
        raise ConfigError("eval.scoring", "true", "false with llm.attn_implementation=flash_attention_2",
                          "It needs a mask of its own, which sdpa and eager take")  # fmt: skip
    if config.eval.export and config.model.head != "items":
        raise ConfigError("eval.export", "true", "false when model.head=lm", "Type model.head=items")


def _check_reference(config: Config) -> None:
    if config.compat != "reference":
        return
    if config.lora.gate.startswith("per_layer"):
        raise ConfigError("lora.gate", config.lora.gate, "conv, linear or mlp when compat=reference",
                          "The release cannot reach its per-layer gates")  # fmt: skip
    if config.rec.arch != "sasrec":
        raise ConfigError("rec.arch", config.rec.arch, "sasrec when compat=reference",
                          "The release's router cannot take the users of its GRU and Caser")  # fmt: skip
