"""The device a trial runs on: the host, a real card, or a virtual one as the request describes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch

from ilora_diag.hardware.gpus import GpuSpec, find_gpu, with_memory
from ilora_diag.hardware.torch_versions import torch_facts
from ilora_diag.schema.known import Value
from ilora_diag.schema.trial_request import TrialRequest
from probes.run_ledger import MeasuredLedger
from probes.run_station import Station
from probes.trial_end import NoDeviceError, RefusedError
from probes.virtual import Machine, virtual_cuda

VIRTUAL = "virtual:"
_SETTINGS = ("memory_bytes", "other_bytes", "vmm")


@dataclass(slots=True, kw_only=True)
class Site:
    """Where a trial runs.

    Attributes:
        kind: `cpu` or `cuda`, as the trainer knows it; a virtual card is `cuda`.
        station: the card and its recorder; None on the host.
        machine: behind a virtual card.
        notes: what the device answered without knowing.
    """

    kind: str
    station: Station | None = None
    machine: Machine | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def is_virtual(self) -> bool:
        """Whether the card is a model."""
        return self.machine is not None


@contextmanager
def site(request: TrialRequest) -> Iterator[Site]:
    """The device asked for, inside the block.

    Raises:
        RefusedError, UnknownGpu, VersionError, SettingsError: a name or a setting that cannot be.
        NoDeviceError: there is no card here.
    """
    settings = _checked(request)
    if request.device == "cpu":
        yield Site(kind="cpu")
    elif request.device == "cuda":
        with _real(settings) as real:
            yield real
    else:
        with _virtual(request, settings) as virtual:
            yield virtual


def _checked(request: TrialRequest) -> dict[str, Value]:
    settings = request.in_namespace("device")
    device = request.device
    if device not in ("cpu", "cuda") and not device.startswith(VIRTUAL):
        raise RefusedError(f"device {device}: allowed is cpu, cuda or {VIRTUAL}NAME")
    known = {"cpu": (), "cuda": _SETTINGS[:1]}.get(device, _SETTINGS)
    for name, value in settings.items():
        if name not in known:
            raise RefusedError(f"device.{name} on {device}: allowed is {', '.join(known) or 'nothing'}")
        is_bool = isinstance(value, bool)
        if name == "vmm" and not is_bool:
            raise RefusedError(f"device.vmm={value}: allowed is true or false")
        if name != "vmm" and (is_bool or not isinstance(value, int) or value < 0):
            raise RefusedError(f"device.{name}={value}: allowed is a number of bytes")
    return settings


@contextmanager
def _real(settings: dict[str, Value]) -> Iterator[Site]:
    from probes.recorder import recorded_cuda, why_no_cuda

    why = why_no_cuda()
    if why:
        raise NoDeviceError(f"device cuda: {why}; on a modelled card: {VIRTUAL}NAME, such as {VIRTUAL}t4")
    with recorded_cuda() as station:
        place = Site(kind="cuda", station=station)
        limit = settings.get("memory_bytes")
        if isinstance(limit, int):
            total = torch.cuda.mem_get_info()[1]
            torch.cuda.set_per_process_memory_fraction(min(1.0, limit / total))
            place.notes.append(
                f"device.memory_bytes on a real card limits what this process may reserve to {limit} bytes; "
                "what its context takes comes on top"
            )
        yield place


@contextmanager
def _virtual(request: TrialRequest, settings: dict[str, Value]) -> Iterator[Site]:
    memory, other, vmm = (settings.get(name) for name in _SETTINGS)
    spec = find_gpu(request.device.removeprefix(VIRTUAL))
    if isinstance(memory, int):
        try:
            spec = with_memory(spec, memory)
        except ValueError as error:
            raise RefusedError(f"device.memory_bytes={memory}: {error}") from error
    version = request.torch_version or torch.__version__.partition("+")[0]
    torch_facts(version)
    with ExitStack() as stack:
        machine = stack.enter_context(
            virtual_cuda(
                spec,
                torch_version=version,
                vmm=vmm if isinstance(vmm, bool) else None,
                other_bytes=other if isinstance(other, int) else 0,
            )
        )
        yield Site(kind="cuda", machine=machine, station=station_of(machine, spec))


def station_of(machine: Machine, spec: GpuSpec) -> Station:
    """A virtual card with a ledger that also keeps what the allocator said after every event."""
    card = machine.cards[0]
    allocator = card.allocator
    ledger = MeasuredLedger(read=lambda: (allocator.allocated_bytes, allocator.reserved_bytes))
    machine.ledger = ledger
    return Station(
        device=f"{VIRTUAL}{spec.key}",
        spec=spec,
        is_real=False,
        torch_version=machine.torch_version,
        ledger=ledger,
        watch=machine.watch,
        notes=machine.notes,
        attention=machine.attention,
        refused=machine.refused,
        num_alloc_retries=lambda: allocator.stats.num_alloc_retries,
        other_bytes=card.other_bytes,
    )
