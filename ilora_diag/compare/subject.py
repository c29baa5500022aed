"""What of a record can be compared: its values, by group and name, whatever kind of record it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ilora_diag.schema import Estimate, Report, ScriptRun, Settings, Snapshot, TrainRun, Unavailable
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.compare import Group
from ilora_diag.schema.known import Known, Value
from ilora_diag.schema.timeline import CategoryShare, ModuleShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One value.

    Attributes:
        value: unknown with the reason.
        unit: as in `Difference`.
        interval: within which it is as good as known; metrics of a sample have one.
        counts: whether a difference may matter.
    """

    value: Known[Value]
    unit: str = ""
    interval: tuple[float, float] | None = None
    counts: bool = True


@dataclass(slots=True, kw_only=True)
class Subject:
    """A record, taken apart.

    Attributes:
        kind, name: as in `Side`.
        items: by group and name.
        missing: groups the record has no values of, with the reason.
    """

    kind: str
    name: str
    items: dict[Group, dict[str, Item]] = field(default_factory=dict)
    missing: dict[Group, str] = field(default_factory=dict)

    def put(self, group: Group, name: str, item: Item) -> None:
        """Add a value; of two by one name, as of parts that share one, numbers are added up."""
        here = self.items.setdefault(group, {})
        before = here.get(name)
        if before is not None and isinstance(before.value, int) and isinstance(item.value, int):
            item = Item(value=before.value + item.value, unit=item.unit)
        here[name] = item

    def settings(self, group: Group, found: Known[Settings]) -> None:
        """Add settings, or why there are none."""
        if isinstance(found, Unavailable):
            self.missing[group] = found.reason
            return
        self.items.setdefault(group, {})
        for key, value in found:
            if key not in _NOT_SETTINGS:
                self.put(group, key, Item(value=value))

    def shares(self, by_category: Iterable[CategoryShare], by_module: Iterable[ModuleShare]) -> None:
        """Add what a peak consists of."""
        for category in by_category:
            self.put(Group.CATEGORY, category.category.value, _bytes(category.size_bytes))
        for module in by_module:
            self.put(Group.MODULE, module.module, _bytes(module.size_bytes))


# Where something is written to, and how long it may take, makes no run another one.
_NOT_SETTINGS = frozenset({"--run-dir", "--out", "--deadline", "--lang", "--resume"})
_TIMES = frozenset({"s", "tokens/s", "samples/s"})


def subject_of(record: object) -> Subject | None:
    """The record taken apart; None for a kind of record that is no run."""
    for kind, make in _KINDS.items():
        if isinstance(record, kind):
            return make(record)
    return None


def _bytes(size: Known[int], *, counts: bool = True) -> Item:
    return Item(value=size, unit="bytes", counts=counts)


def _of_report(report: Report) -> Subject | None:
    run = report.train
    if run is None:
        return None
    subject = Subject(kind="train", name=run.run_id)
    subject.put(Group.OUTCOME, "state", Item(value=run.outcome.state.value))
    if run.outcome.error is not None:
        subject.put(Group.OUTCOME, "error", Item(value=run.outcome.error.type))
    subject.settings(Group.REQUESTED, run.requested)
    subject.settings(Group.EFFECTIVE, run.effective)
    _environment(subject, run)
    _memory_of_phases(subject, run)
    _metrics(subject, report, run)
    return subject


def _environment(subject: Subject, run: TrainRun) -> None:
    if isinstance(run.environment, Unavailable):
        subject.missing[Group.VERSIONS] = run.environment.reason
        return
    for spec in fields(run.environment):
        counts = spec.name not in ("cpu_count", "num_threads", "platform")
        value = getattr(run.environment, spec.name)
        # The part behind the plus names the wheel, not the rules; `torch_cuda` tells it too.
        plain = value.partition("+")[0] if spec.name == "torch" and isinstance(value, str) else value
        subject.put(Group.VERSIONS, spec.name, Item(value=plain, counts=counts))


def _memory_of_phases(subject: Subject, run: TrainRun) -> None:
    devices = [phase.device for phase in run.phases if not isinstance(phase.device, Unavailable)]
    for name in ("peak_allocated_bytes", "peak_reserved_bytes"):
        if devices:
            subject.put(Group.MEMORY, name.replace("peak_", ""), _bytes(max(getattr(one, name) for one in devices)))
    if not devices:
        subject.missing[Group.MEMORY] = "the run used no CUDA device"
    hosts = [phase.rss_peak_bytes for phase in run.phases if isinstance(phase.rss_peak_bytes, int)]
    if hosts:
        subject.put(Group.METRIC, "rss_peak_bytes", _bytes(max(hosts), counts=False))


def _metrics(subject: Subject, report: Report, run: TrainRun) -> None:
    for metric in report.trials[-1].metrics if report.trials else ():
        counts = metric.unit not in _TIMES and not metric.name.endswith("_bytes") and metric.name != "loss_window"
        subject.put(Group.METRIC, metric.name, Item(value=metric.value, unit=metric.unit, counts=counts))
    for found in () if isinstance(run.metrics, Unavailable) else run.metrics:
        known = isinstance(found.low, (int, float)) and isinstance(found.high, (int, float))
        interval = (float(found.low), float(found.high)) if known else None  # type: ignore[arg-type]
        subject.put(Group.METRIC, found.name, Item(value=found.value, unit="1", interval=interval))
    if not isinstance(run.model, Unavailable):
        for name in ("num_parameters", "num_trainable"):
            subject.put(Group.METRIC, name, Item(value=getattr(run.model, name), unit="1"))


def _of_estimate(estimate: Estimate) -> Subject:
    card = estimate.cards[0]
    subject = Subject(kind="estimate", name=" ".join(estimate.typed) or estimate.gpu)
    subject.put(Group.OUTCOME, "fits", Item(value=estimate.fits))
    if estimate.typed:
        subject.put(Group.REQUESTED, "typed", Item(value=estimate.typed))
    _step(subject, estimate)
    subject.put(Group.OUTCOME, "largest_batch", Item(value=card.largest_batch_that_fits, unit="1"))
    return subject


def _step(subject: Subject, estimate: Estimate) -> None:
    """What an estimate and the run of a script have in common."""
    card = estimate.cards[0]
    subject.settings(Group.EFFECTIVE, estimate.settings)
    subject.put(Group.VERSIONS, "torch", Item(value=estimate.torch))
    subject.put(Group.VERSIONS, "gpu", Item(value=estimate.gpu))
    subject.put(Group.VERSIONS, "attention", Item(value=card.attention))
    subject.put(Group.VERSIONS, "memory_bytes", _bytes(card.memory_bytes))
    for name in ("requested_bytes", "allocated_bytes", "reserved_bytes", "device_used_bytes"):
        subject.put(Group.MEMORY, name, _bytes(getattr(estimate.peak, name)))
    for gap in estimate.chain:
        subject.put(Group.MEMORY, f"chain.{gap.name}", _bytes(gap.size_bytes))
    subject.shares(estimate.by_category, estimate.by_module)
    for share in estimate.by_op:
        subject.put(Group.OPERATOR, share.op, _bytes(share.size_bytes))


def _of_script(run: ScriptRun) -> Subject:
    subject = Subject(kind="run", name=" ".join((run.script, *run.args)))
    subject.put(Group.OUTCOME, "end", Item(value=run.end.value))
    if run.error is not None:
        subject.put(Group.OUTCOME, "error", Item(value=run.error.type))
    subject.put(Group.REQUESTED, "script", Item(value=run.script))
    subject.put(Group.REQUESTED, "args", Item(value=run.args))
    subject.put(Group.REQUESTED, "device", Item(value=run.device))
    subject.put(Group.METRIC, "steps", Item(value=run.steps, unit="1"))
    subject.put(Group.METRIC, "num_refused", Item(value=run.num_refused, unit="1"))
    if isinstance(run.estimate, Unavailable):
        groups = (Group.EFFECTIVE, Group.VERSIONS, Group.MEMORY, Group.CATEGORY, Group.MODULE, Group.OPERATOR)
        subject.missing |= dict.fromkeys(groups, run.estimate.reason)
    else:
        _step(subject, run.estimate)
    return subject


def _of_bisect(bisect: Bisect) -> Subject:
    subject = Subject(kind="bisect", name=bisect.subject)
    subject.put(Group.OUTCOME, "outcome", Item(value=bisect.outcome.value))
    if not isinstance(bisect.signature, Unavailable):
        subject.put(Group.OUTCOME, "signature", Item(value=bisect.signature.code))
    if bisect.cause is not None:
        subject.put(Group.OUTCOME, "category", Item(value=bisect.cause.category))
        subject.put(Group.OUTCOME, "confidence", Item(value=bisect.cause.confidence.value))
        for cause in bisect.cause.factors:
            subject.put(Group.OUTCOME, f"cause.{cause.name}.failing", Item(value=cause.failing))
            subject.put(Group.OUTCOME, f"cause.{cause.name}.passing", Item(value=cause.passing))
    subject.settings(Group.REQUESTED, bisect.requested)
    subject.settings(Group.EFFECTIVE, bisect.base if isinstance(bisect.effective, Unavailable) else bisect.effective)
    subject.put(Group.VERSIONS, "device", Item(value=bisect.device))
    subject.put(Group.VERSIONS, "fingerprint", Item(value=bisect.fingerprint, counts=False))
    if isinstance(bisect.peak, Unavailable):
        subject.missing |= dict.fromkeys((Group.MEMORY, Group.CATEGORY, Group.MODULE), bisect.peak.reason)
    else:
        subject.put(Group.MEMORY, "allocated_bytes", _bytes(bisect.peak.allocated_bytes))
        subject.put(Group.MEMORY, "reserved_bytes", _bytes(bisect.peak.reserved_bytes))
        subject.shares(bisect.peak.by_category, bisect.peak.by_module)
    subject.put(Group.METRIC, "num_trials", Item(value=bisect.num_trials, unit="1", counts=False))
    subject.put(Group.METRIC, "duration_s", Item(value=bisect.duration_s, unit="s", counts=False))
    return subject


def _of_snapshot(snapshot: Snapshot) -> Subject:
    subject = Subject(kind="snapshot", name=snapshot.file)
    subject.settings(Group.EFFECTIVE, snapshot.allocator_settings)
    for prefix, device in _devices(snapshot):
        subject.put(Group.OUTCOME, f"{prefix}oom_events", Item(value=len(device.oom_events), unit="1"))
        subject.put(Group.MEMORY, f"{prefix}requested_bytes", _bytes(device.peak.state.requested_bytes))
        subject.put(Group.MEMORY, f"{prefix}allocated_bytes", _bytes(device.peak.allocated_bytes))
        subject.put(Group.MEMORY, f"{prefix}reserved_bytes", _bytes(device.peak.reserved_bytes))
        for name in ("internal_fragmentation_bytes", "external_fragmentation_bytes", "inactive_split_bytes"):
            subject.put(Group.MEMORY, f"{prefix}{name}", _bytes(getattr(device.peak.state, name)))
        for share in device.by_op:
            subject.put(Group.OPERATOR, f"{prefix}{share.op}", _bytes(share.size_bytes))
    return subject


def _devices(snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    """Devices with the beginning of their names: none where there is one device only."""
    for device in snapshot.devices:
        yield ("" if len(snapshot.devices) == 1 else f"device {device.index}: "), device


_KINDS: Mapping[type, Callable[[Any], Subject | None]] = {
    Report: _of_report,
    Estimate: _of_estimate,
    ScriptRun: _of_script,
    Bisect: _of_bisect,
    Snapshot: _of_snapshot,
}
