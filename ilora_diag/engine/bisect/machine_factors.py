"""What can be relaxed about the machine: the allocator's settings, other processes, the size of the card.

Other processes and the card's size can be tried on a virtual card alone. On a real one they are measured and told, and
not applicable as factors: nobody else's process is ended by us.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ilora_diag.hardware.gpus import UnknownGpu, find_gpu
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Level
from ilora_diag.schema.known import Settings, Value
from ilora_diag.units import format_bytes

ALLOCATOR_VARIABLES = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
VIRTUAL = "virtual:"
_EXPANDABLE = "expandable_segments"


def machine_factors(device: str, base: Settings, environ: Mapping[str, str]) -> Iterator[Factor]:
    """The factors of the machine that have something to act on.

    Args:
        device: as in a TrialRequest.
        base: settings of the failing configuration.
        environ: of this process, which trials inherit.
    """
    given = dict(base)
    if device.startswith(VIRTUAL):
        yield from _other_processes(given)
        yield from _card_memory(device.removeprefix(VIRTUAL), given)
    if device != "cpu":
        yield _allocator(given, environ)


def _other_processes(given: Mapping[str, Value]) -> Iterator[Factor]:
    held = given.get("device.other_bytes")
    if not isinstance(held, int) or held <= 0:
        return
    gone = Level(
        name="0 B",
        changes=(("device.other_bytes", 0),),
        change="end the other processes on the card (nvidia-smi)",
        cost="somebody_elses",
    )
    yield Factor(
        name="other_processes",
        kind=FactorKind.BINARY,
        scope=FactorScope.DEVICE,
        levels=(_failing(format_bytes(held)), gone),
        expects_monotone=True,
        category="oom_other_process",
        prior=4.0,
    )


def _card_memory(name: str, given: Mapping[str, Value]) -> Iterator[Factor]:
    """A slice, relaxed to the whole card it is a slice of."""
    size = given.get("device.memory_bytes")
    try:
        whole = find_gpu(name)
    except UnknownGpu:
        return  # the trial says so, in its own words
    if not isinstance(size, int) or size >= whole.memory_bytes:
        return
    level = Level(
        name=format_bytes(whole.memory_bytes),
        changes=(("device.memory_bytes", None),),
        change=f"use a whole {whole.nvml_name} ({format_bytes(whole.memory_bytes)})",
        cost="somebody_elses",
    )
    yield Factor(
        name="card_memory",
        kind=FactorKind.BINARY,
        scope=FactorScope.DEVICE,
        levels=(_failing(format_bytes(size)), level),
        expects_monotone=True,
        category="oom_capacity_smaller",
        prior=2.0,
    )


def allocator_setting(given: Mapping[str, Value], environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Variable and value by which the failing configuration sets the allocator; the first name where none is set."""
    for variable in ALLOCATOR_VARIABLES:
        key = f"env.{variable}"
        value = given[key] if key in given else environ.get(variable)
        if isinstance(value, str) and value:
            return variable, value
    return ALLOCATOR_VARIABLES[0], None


def _allocator(given: Mapping[str, Value], environ: Mapping[str, str]) -> Factor:
    variable, value = allocator_setting(given, environ)
    key = f"env.{variable}"
    on, off = f"{_EXPANDABLE}:True", f"{_EXPANDABLE}:False"
    if value is None:
        levels = [
            _failing("unset"),
            Level(name=on, changes=((key, on),), change=f"export {variable}={on}", cost="none"),
        ]
        return _allocator_factor(levels, "oom_fragmentation", is_mitigation=False)
    levels = [
        _failing(value),
        Level(name="unset", changes=((key, None),), change=f"unset {variable}", cost="none"),
    ]
    uses_expandable = on.lower() in value.replace(" ", "").lower()
    other = off if uses_expandable else on
    levels.append(Level(name=other, changes=((key, other),), change=f"export {variable}={other}", cost="none"))
    category = "expandable_unsupported" if uses_expandable else "oom_fragmentation"
    return _allocator_factor(levels, category, is_mitigation=True)


def _allocator_factor(levels: list[Level], category: str, *, is_mitigation: bool) -> Factor:
    return Factor(
        name="alloc_conf",
        kind=FactorKind.UNORDERED if len(levels) > 2 else FactorKind.BINARY,
        scope=FactorScope.ENVIRONMENT,
        levels=tuple(levels),
        expects_monotone=False,
        category=category,
        prior=3.0 if is_mitigation else 0.5,
        seconds=4.0,
        is_mitigation=is_mitigation,
    )


def _failing(name: str) -> Level:
    return Level(name=name, changes=(), change="", cost="none")
