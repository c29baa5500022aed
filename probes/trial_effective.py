"""What is in force inside a trial: read where it acts, never taken from what was asked for.

Keys that are read: `allocator.*`, `attention.*`, `card.*`, `parameters.*`, `version.*`, `precision`, `checkpointing`,
`loop`. Keys that repeat what was given, as it was understood: those of the configuration, `parts.*`, `env.*`.
"""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from ilora.config import Config, flat_settings
from ilora_diag.memory.settings import CUDA_VARIABLE, GENERIC_VARIABLE, SettingsError, parse_allocator_settings
from ilora_diag.schema.known import Settings, Value
from probes.trial_built import Built
from probes.trial_device import Site

_ALLOCATOR = (
    "expandable_segments",
    "backend",
    "max_split_size_bytes",
    "garbage_collection_threshold",
    "roundup_power2_divisions",
    "per_process_memory_fraction",
    "caching",
)
# As `torch.cuda.memory._snapshot()` of torch 2.5 to 2.13 spells them; one that a version lacks is left out.
_SNAPSHOT = (
    "expandable_segments",
    "max_split_size",
    "garbage_collection_threshold",
    "roundup_power2_divisions",
    "last_allocator_settings",
    "PYTORCH_CUDA_ALLOC_CONF",
)


def effective(config: Config, built: Built, place: Site | None, precision: str, asked: Settings) -> Settings:
    """Everything that is known by now, each key once.

    On a card that has failed a question may fail, too: its group is then what was told until then, and why no more.
    """
    found: dict[str, Value] = dict(flat_settings(config))
    found.update((f"parts.{name}", value) for name, value in built.parts.items())
    if precision:
        found["precision"] = precision
    groups: dict[str, Iterator[tuple[str, Value]]] = {"env": environment(asked), "version": versions()}
    if place is not None:
        groups |= {"card": card(place), "allocator": allocator(place)}
    groups["parameters"] = model(built)
    if place is not None:
        groups["attention"] = attention_backend(place)
    for name, group in groups.items():
        try:
            found.update(group)
        except Exception as error:  # noqa: BLE001 - the trial's end must be told, whatever can still be asked
            found[f"{name}.unavailable"] = f"{type(error).__name__}: {error}"
    return tuple(found.items())


def environment(asked: Settings) -> Iterator[tuple[str, Value]]:
    """The variables asked for, and those that steer the allocator, as this process has them; None: not set."""
    wanted = [key.removeprefix("env.") for key, _ in asked if key.startswith("env.")]
    for name in dict.fromkeys((*wanted, CUDA_VARIABLE, GENERIC_VARIABLE)):
        yield f"env.{name}", os.environ.get(name)


def versions() -> Iterator[tuple[str, Value]]:
    """Of Python and of what was imported."""
    yield "version.python", platform.python_version()
    yield "version.torch", torch.__version__
    for name in ("transformers", "peft", "lightning"):
        if name in sys.modules:
            yield f"version.{name}", _version(name)
    yield "version.cuda", torch.version.cuda


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def card(place: Site) -> Iterator[tuple[str, Value]]:
    """The card as `torch.cuda` tells it."""
    station = place.station
    if station is None:
        yield "card.name", platform.machine()
        return
    properties = torch.cuda.get_device_properties()
    yield "card.name", properties.name
    yield "card.is_virtual", place.is_virtual
    yield "card.memory_bytes", properties.total_memory
    yield "card.compute_capability", f"{properties.major}.{properties.minor}"
    yield "card.rules_of_torch", station.torch_version
    if place.machine is not None:
        yield "card.other_bytes", place.machine.cards[0].other_bytes
        yield "card.vmm", place.machine.cards[0].allocator.core.driver.supports_vmm


def allocator(place: Site) -> Iterator[tuple[str, Value]]:
    """The allocator's settings by its own word, and the variable that they come from."""
    if place.station is None:
        return
    if place.machine is not None:
        settings = place.machine.settings
        yield "allocator.variable", settings.variable or None
        yield from ((f"allocator.{name}", getattr(settings, name)) for name in _ALLOCATOR)
        return
    try:  # a real allocator does not say which variable it read; the rule is known
        yield "allocator.variable", parse_allocator_settings(os.environ, torch.__version__).variable or None
    except SettingsError:
        yield "allocator.variable", None
    yield "allocator.backend", torch.cuda.get_allocator_backend()
    own: Mapping[str, Any] = torch.cuda.memory._snapshot().get("allocator_settings", {})
    for name in _SNAPSHOT:
        if name in own:
            yield f"allocator.{name}", _plain(own[name])


def _plain(value: Any) -> Value:
    if isinstance(value, Mapping):
        return tuple(f"{key}:{one}" for key, one in value.items())
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def model(built: Built) -> Iterator[tuple[str, Value]]:
    """Of what was built: parameters by type, those that train, attention and checkpointing as the modules have them."""
    roots = [built.model] if built.model is not None else [part for part, _ in built.named]
    parameters = list({id(one): one for root in roots for one in root.parameters()}.values())
    if not parameters:
        return
    census: Counter[str] = Counter()
    for one in parameters:
        census[str(one.dtype).removeprefix("torch.")] += one.numel()
    yield from ((f"parameters.{name}", count) for name, count in sorted(census.items()))
    yield "parameters.trainable", sum(one.numel() for one in parameters if one.requires_grad)
    if built.llm is not None:
        yield "attention.implementation", str(getattr(built.llm.model.config, "_attn_implementation", None))
        yield "checkpointing", checkpointing(built.llm.model)


def attention_backend(place: Site) -> Iterator[tuple[str, Value]]:
    """The kernel that scaled-dot-product attention took, as often as it was called."""
    if place.station is not None and place.station.attention:
        yield "attention.backend", place.station.attention.most_common(1)[0][0]


def checkpointing(llm: nn.Module) -> str:
    """`off`, `non_reentrant` or `reentrant`, by the function that the model's blocks call."""
    for module in llm.modules():
        run = getattr(module, "_gradient_checkpointing_func", None)
        if getattr(module, "gradient_checkpointing", False) and run is not None:
            keywords = run.keywords if isinstance(run, functools.partial) else {}
            return "reentrant" if keywords.get("use_reentrant", True) else "non_reentrant"
    return "off"
