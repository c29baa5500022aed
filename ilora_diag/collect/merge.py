"""Answers of several children to one set of facts. Pure.

Of two answers to one question the known one counts, and else the one of the better witness: for what the loader took,
the child that loaded it; for a device, NVML before CUDA before the kernel module's files. CUDA counts devices in an
order of its own, so its answers are moved to the device of the same PCI address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ilora_diag.collect.sheet import NOT_COLLECTED
from ilora_diag.schema import Fact, Known, Unavailable, Value

# The leaves that say whether a group did its work: when it did not, they say why.
GROUP_KEYS: dict[str, tuple[str, ...]] = {
    "files": ("os.kernel", "container.kind", "driver.libcuda", "torch.version"),
    "devices": ("driver.kmod", "dev.nvidiactl", "dev.nvidia-uvm", "pci.num_nvidia_gpus"),
    "nvml": ("nvml.status", "nvml.device_count"),
    "cuda": ("cuda.init_code", "cuda.device_count"),
}
_ORDER = ("cuda_api", "nvml", "cuda", "cuda_deep", "torch", "devices", "files", "skipped")
_ORDINAL = re.compile(r"ordinal\[(\d+)\]\.(.+)")
_GPU = re.compile(r"gpu\[(\d+)\]\.(.+)")
MIN_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one group found."""

    group: str
    facts: tuple[Fact, ...]


def merge(answers: Iterable[Answer]) -> tuple[Fact, ...]:
    """One leaf a path, sorted by path."""
    ranked = sorted(_witnesses(answers), key=lambda pair: _rank(pair[0]))
    devices = _numbering([fact for _, fact in ranked])
    kept: dict[str, Fact] = {}
    for witness, fact in ranked:
        if witness == "devices" and _GPU.fullmatch(fact.path) and devices.counted:
            continue  # the kernel module's files know more cards than NVML counts, so the numbers may differ
        fact = _renumbered(fact, devices)
        old = kept.get(fact.path)
        if old is None or (isinstance(old.value, Unavailable) and not isinstance(fact.value, Unavailable)):
            kept[fact.path] = fact
    for fact in devices.ordinals:
        kept.setdefault(fact.path, fact)
    return tuple(sorted(kept.values(), key=lambda fact: _natural(fact.path)))


def skipped_devices(facts: Sequence[Fact]) -> dict[int, tuple[Fact, ...]]:
    """CUDA devices that a context must not touch, each with the leaves that say why."""
    values = {fact.path: fact.value for fact in facts}
    skipped: dict[int, tuple[Fact, ...]] = {}
    for path, ordinal in values.items():
        match = _GPU.fullmatch(path)
        if match is None or match[2] != "cuda_ordinal" or not isinstance(ordinal, int):
            continue
        why = _reason_to_skip(values, f"gpu[{match[1]}]")
        if why:
            missing = Unavailable(reason=f"{NOT_COLLECTED}: {why}", source="safety of --deep")
            paths = (f"gpu[{match[1]}].probe.context", f"gpu[{match[1]}].torch_probe.tensor")
            skipped[ordinal] = tuple(Fact(path=path, value=missing, source="safety of --deep") for path in paths)
    return skipped


def _reason_to_skip(values: dict[str, Known[Value]], gpu: str) -> str:
    users, free = values.get(f"{gpu}.num_processes"), values.get(f"{gpu}.memory_free_bytes")
    if (
        values.get(f"{gpu}.compute_mode") in ("exclusive_process", "exclusive_thread")
        and isinstance(users, int)
        and users
    ):
        return "the card is in exclusive use, and a second context would only create the error it looks for"
    if isinstance(free, int) and free < MIN_FREE_BYTES:
        return f"only {free >> 20} MiB of the card are free, and a context needs some hundred"
    return ""


@dataclass(frozen=True, slots=True)
class _Devices:
    """Which `gpu[N]` each CUDA ordinal is, whether NVML counted devices, and the leaves that tell the relation."""

    of_ordinal: dict[int, int]
    counted: bool
    ordinals: tuple[Fact, ...]


def _witnesses(answers: Iterable[Answer]) -> list[tuple[str, Fact]]:
    pairs = []
    for answer in answers:
        for fact in answer.facts:
            api = answer.group == "cuda" and not fact.path.startswith(("ordinal[", "collect."))
            pairs.append(("cuda_api" if api else answer.group, fact))
    return pairs


def _rank(witness: str) -> int:
    name = "torch" if witness.startswith("torch") else witness
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _numbering(facts: Sequence[Fact]) -> _Devices:
    by_bus: dict[Value, int] = {}
    ordinals: dict[int, Value] = {}
    known: set[int] = set()
    count: Value = None
    visible = False
    for fact in facts:
        if isinstance(fact.value, Unavailable):
            continue
        if match := _GPU.fullmatch(fact.path):
            if match[2] in ("nvml_status", "bus_id") and "/proc/" not in fact.source:
                known.add(int(match[1]))
            if match[2] == "bus_id":
                by_bus.setdefault(fact.value, int(match[1]))
        elif match := _ORDINAL.fullmatch(fact.path):
            if match[2] == "bus_id" or int(match[1]) not in ordinals:
                ordinals[int(match[1])] = fact.value if match[2] == "bus_id" else None
        elif fact.path == "nvml.device_count":
            count = fact.value
        elif fact.path == "cuda.device_count":
            visible = True
    return _related(by_bus, ordinals, known, counted=isinstance(count, int) and count > 0, visible=visible)


def _related(
    by_bus: dict[Value, int], ordinals: dict[int, Value], known: set[int], *, counted: bool, visible: bool
) -> _Devices:
    of_ordinal: dict[int, int] = {}
    spare = max(known, default=-1) + 1
    for ordinal in sorted(ordinals):
        bus = ordinals[ordinal]
        if bus is not None and bus in by_bus:
            of_ordinal[ordinal] = by_bus[bus]
        elif not known:
            of_ordinal[ordinal] = ordinal
        else:  # NVML counts devices, but not this one
            of_ordinal[ordinal], spare = spare, spare + 1
    source = "PCI address" if by_bus else "CUDA's order; NVML tells none"
    leaves = [
        Fact(path=f"gpu[{gpu}].cuda_ordinal", value=ordinal, source=source) for ordinal, gpu in of_ordinal.items()
    ]
    if visible:  # CUDA listed its devices, so one that is not among them is hidden
        hidden = sorted(known - set(of_ordinal.values()))
        leaves += [Fact(path=f"gpu[{gpu}].cuda_ordinal", value=None, source="cuDeviceGetCount") for gpu in hidden]
    return _Devices(of_ordinal, counted, tuple(leaves))


def _renumbered(fact: Fact, devices: _Devices) -> Fact:
    match = _ORDINAL.fullmatch(fact.path)
    if match is None:
        return fact
    ordinal = int(match[1])
    return replace(fact, path=f"gpu[{devices.of_ordinal.get(ordinal, ordinal)}].{match[2]}")


def _natural(path: str) -> tuple[tuple[int, str], ...]:
    """Sorts `gpu[10]` behind `gpu[9]`."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path))
