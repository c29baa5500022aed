"""Cards by the names people type or NVML prints: compute capability, memory, what a process cannot use of it.

The numbers stand in `gpu_table`, readings of context sizes in `context`. A name nobody knows is an error that says
what to type; no card is guessed.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

from ilora_diag.hardware.context import context_interval
from ilora_diag.hardware.gpu_table import AMBIGUOUS, ROWS, SOURCES, Row
from ilora_diag.schema import Interval, Known, Unavailable

MIB = 1 << 20


class UnknownGpu(ValueError):  # noqa: N818 - says what it is; callers read it as a noun
    """A name that fits no card, or more than one; the message says what to type.

    Attributes:
        name: as it was given.
        nearest: keys that resemble it, or the cards it could mean.
    """

    def __init__(self, name: str, nearest: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.name = name
        self.nearest = nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """A card.

    Attributes:
        key: short name, "h100".
        nvml_name: as nvidia-smi and `torch.cuda.get_device_name()` print it.
        aliases: other names `find_gpu` takes.
        compute_capability: (major, minor).
        memory_bytes: NVML's total, what nvidia-smi shows.
        torch_total_bytes: total that CUDA reports, and torch prints as "total capacity": NVML's less what driver and
            firmware keep. The lowest one read; unknown where no source has it.
        torch_total: where that number lies.
        sm_count: streaming multiprocessors.
        context_bytes: what a process holds outside torch's pool.
        vmm: whether virtual memory management (cuMemCreate, hence expandable segments) works on the bare card under
            Linux; a container, a driver or a vGPU profile may still block it.
        sources: where the row was read.
        unverified_fields: fields that rest on memory alone.
    """

    key: str
    nvml_name: str
    aliases: tuple[str, ...]
    compute_capability: tuple[int, int]
    memory_bytes: int
    torch_total_bytes: Known[int]
    torch_total: Interval
    sm_count: Known[int]
    context_bytes: Interval
    vmm: Known[bool]
    sources: tuple[str, ...]
    unverified_fields: tuple[str, ...]

    @property
    def unverified(self) -> bool:
        """Whether any field of the row rests on memory alone."""
        return bool(self.unverified_fields)

    @property
    def usable_total_bytes(self) -> int:
        """Total to plan with: the lowest one CUDA is known to report, else the low end of the rule's interval.

        A card said to fit that does not is the worst error, so the low end is taken.
        """
        return self.torch_total.low_bytes


def _torch_total(row: Row) -> tuple[Known[int], Interval]:
    """The total CUDA reports. Read where a source has it, else by a rule.

    The rule: over the cards with both numbers, driver and firmware keep 0 % (P100; Windows and WSL) to 3.9 % (RTX 3080
    with driver 595) of NVML's total, so the total lies in 96 .. 100 % of it. [derived]
    """
    if row.torch_mib:
        low, high = min(row.torch_mib), max(row.torch_mib)
        basis = "[source] lowest and highest total read, rounded down to MiB; it differs by driver"
        return low * MIB, Interval(low_bytes=low * MIB, high_bytes=(high + 1) * MIB, basis=basis)
    return _total_by_rule(row.nvml_mib * MIB, f"no source prints the CUDA total of {row.nvml_name}")


def _total_by_rule(nvml_bytes: int, reason: str) -> tuple[Unavailable, Interval]:
    basis = "[derived] driver and firmware keep 0 to 4 % of NVML's total on the cards where both are known"
    interval = Interval(low_bytes=nvml_bytes * 96 // 100, high_bytes=nvml_bytes, basis=basis)
    return Unavailable(reason=reason, source="card table"), interval


def _spec(row: Row) -> GpuSpec:
    total, interval = _torch_total(row)
    return GpuSpec(
        key=row.key,
        nvml_name=row.nvml_name,
        aliases=tuple(filter(None, row.aliases.split(","))),
        compute_capability=row.cc_number,
        memory_bytes=row.nvml_mib * MIB,
        torch_total_bytes=total,
        torch_total=interval,
        sm_count=row.sms or Unavailable(reason=f"no source has the SM count of {row.nvml_name}", source="card table"),
        context_bytes=context_interval(row.key),
        vmm=True if row.cc_number >= (7, 0) else Unavailable(reason="older than Volta: no source", source="card table"),
        sources=tuple(SOURCES[name] for name in row.sources.split()),
        unverified_fields=tuple(row.unverified.split()),
    )


GPUS: dict[str, GpuSpec] = {row.key: _spec(row) for row in ROWS}
"""Every card of the table by its key, in the table's order."""


def _compact(name: str) -> str:
    """A name without case, spaces, dashes and the words that add nothing: `NVIDIA GeForce RTX 3090` -> `rtx3090`."""
    words = re.findall(r"[a-z0-9]+", name.lower())
    return "".join(word for word in words if word not in {"nvidia", "geforce", "tesla", "quadro"})


def _names() -> dict[str, str]:
    names: dict[str, str] = {}
    for spec in GPUS.values():
        spellings = [spec.key, spec.nvml_name, *spec.aliases]
        spellings += [re.sub(r"^(rtx|gtx)-", "", spec.key)]  # people type 3090
        for spelling in spellings:
            names.setdefault(_compact(spelling), spec.key)
    return names


_NAMES = _names()

# "GRID A100-40C", "GRID A100D-3-40C", "NVIDIA L40S-48C", "NVIDIA RTX Pro 6000 Blackwell DC-1-24Q MIG 1g.24gb":
# chip, for MIG-backed ones the number of slices, frame buffer in GB, series. Names quoted in
# huggingface/text-generation-inference 615, InternLM/lmdeploy 2414, dmlc/xgboost 12217, openxla/xla 49252.
_VGPU = re.compile(
    r"(?:grid[ _-]+|nvidia[ _-]+)?(?P<chip>[a-z0-9 _-]+?)(?:-\d+)?-(?P<gb>\d+)[abcq]( mig .*)?", re.IGNORECASE
)
_VGPU_CHIPS = {
    "a100": "a100-40gb",
    "a100d": "a100-80gb",
    "a100x": "a100-40gb",
    "a800d": "a800-80gb",
    "v100": "v100-16gb",
    "v100x": "v100-16gb",
    "v100d": "v100-32gb",
    "v100dx": "v100-32gb",
    "h100xm": "h100",
    "h100l": "h100-nvl",
    "rtx6000ada": "rtx-6000-ada",
    "rtxpro6000blackwelldc": "rtx-pro-6000",
}
"""Chips whose vGPU name is not the card's own; the compute capability is what is taken from the card."""


def _vgpu(name: str) -> GpuSpec | None:
    """The spec of a vGPU profile, or None if the name is none.

    Memory is the profile's number in GiB: "GRID A100-40C" reports 40960 MiB (text-generation-inference 615). Virtual
    memory management is off: device attribute 102 is 0 on fractional vGPU (openxla/xla 49252) and the granularity call
    answers not supported on a full A40-48C (dmlc/xgboost 12217).
    """
    match = _VGPU.fullmatch(" ".join(name.split()))
    if match is None:
        return None
    chip = _compact(match["chip"])
    key = _VGPU_CHIPS.get(chip) or _NAMES.get(chip)
    if key is None or int(match["gb"]) == 0:
        return None
    base = GPUS[key]
    memory = int(match["gb"]) << 30
    total, interval = _total_by_rule(memory, "no source prints the CUDA total of this profile")
    return replace(
        base,
        key=re.sub(r"[^a-z0-9.]+", "-", re.sub(r"^(grid|nvidia)\b", "", name.strip().lower())).strip("-"),
        nvml_name=" ".join(name.split()),
        aliases=(),
        memory_bytes=memory,
        torch_total_bytes=total,
        torch_total=interval,
        sm_count=Unavailable(reason="a profile may hold a slice of the card", source="vGPU name"),
        vmm=False,
        sources=(*base.sources, "vGPU names and their limits quoted in public issues"),
        unverified_fields=() if (chip, match["gb"]) == ("a100", "40") else ("memory",),
    )


# "NVIDIA A100 80GB PCIe MIG 1g.10gb", as torch names an instance: card, compute slices, memory in GB.
# People leave the word out.
_MIG = re.compile(r"(?P<card>.+?)(?:[ _-]+mig)?[ _-]+(?P<profile>(\d+c\.)?\d+g\.(?P<gb>\d+)gb\S*)", re.IGNORECASE)


def _mig(name: str) -> GpuSpec | None:
    """The spec of a MIG instance, or None if the name is none.

    An instance has 95 to 99 % of its profile's GiB: 9728 MiB of 10 (A100 PCIe, torch), 9984 of 10, 20096 of 20 and
    40448 of 40 (H100, nvidia-smi). [source]

    Raises:
        UnknownGpu: several cards have that name ("a100-2g.10gb").
    """
    match = _MIG.fullmatch(" ".join(name.split()))
    if match and (choice := AMBIGUOUS.get(_compact(match["card"]))):
        keys = tuple(f"{key}-mig-{match['profile'].lower()}" for key in choice)
        raise UnknownGpu(name, keys, f"{name!r} could be a part of more than one card: type {' or '.join(keys)}")
    key = _NAMES.get(_compact(match["card"])) if match else None
    if match is None or key is None or int(match["gb"]) == 0:
        return None
    memory = int(match["gb"]) << 30
    basis = "[derived] instances of four profiles have 95 to 99 % of the GiB their profile names"
    return replace(
        GPUS[key],
        key=f"{key}-mig-{match['profile'].lower()}",
        nvml_name=" ".join(name.split()),
        aliases=(),
        memory_bytes=memory,
        torch_total_bytes=Unavailable(reason="it differs by profile and driver", source="MIG name"),
        torch_total=Interval(low_bytes=memory * 94 // 100, high_bytes=memory, basis=basis),
        sm_count=Unavailable(reason="an instance holds a slice of the card", source="MIG name"),
        vmm=Unavailable(reason="no source for MIG instances", source="MIG name"),
        sources=(*GPUS[key].sources, "MIG instances in nvidia-smi listings and torch properties"),
        unverified_fields=("memory",),
    )


_ADVICE = "Type one of them, and --memory SIZE, such as --memory 16GiB, where the memory differs"
_EXAMPLES = ("h100", "h200", "a100-80gb", "l4", "t4", "rtx-4090", "rtx-3090")


def find_gpu(name: str) -> GpuSpec:
    """The card of a key, an alias, NVML's name, a vGPU profile or a MIG instance; case and spaces do not matter.

    Two cards of one NVML name may differ in memory (RTX 3080 with 10 or 12 GB): who knows the total uses `with_memory`.

    Raises:
        UnknownGpu: nothing has that name, or several cards have ("a100" is sold with 40 and with 80 GB).
    """
    compact = _compact(name)
    if key := _NAMES.get(compact):
        return GPUS[key]
    if choice := AMBIGUOUS.get(compact):
        listed = " or ".join(f"{key} ({GPUS[key].nvml_name})" for key in choice)
        raise UnknownGpu(name, choice, f"{name!r} could be more than one card: type {listed}")
    if (part := _mig(name) or _vgpu(name)) is not None:
        return part
    close = difflib.get_close_matches(compact, [*_NAMES, *AMBIGUOUS], n=6, cutoff=0.5)
    keys = tuple(dict.fromkeys(key for match in close for key in AMBIGUOUS.get(match, (_NAMES.get(match, ""),)) if key))
    hint = f"nearest: {', '.join(keys[:4])}" if keys else f"known are, for example, {', '.join(_EXAMPLES)}"
    raise UnknownGpu(name, keys[:4], f"no card is called {name!r}; {hint}. {_ADVICE}")


def with_memory(spec: GpuSpec, num_bytes: int) -> GpuSpec:
    """The same card with another amount of memory, which is taken as what CUDA reports.

    Raises:
        ValueError: the size is not positive.
    """
    if num_bytes <= 0:
        raise ValueError(f"a card's memory is positive, got {num_bytes} bytes")
    interval = Interval(low_bytes=num_bytes, high_bytes=num_bytes, basis="given by the user")
    fields = tuple(field for field in spec.unverified_fields if field != "memory")
    return replace(
        spec, memory_bytes=num_bytes, torch_total_bytes=num_bytes, torch_total=interval, unverified_fields=fields
    )
