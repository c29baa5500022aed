"""From a script's run to the record of it: how it ended, where memory stood, and the estimate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from ilora_diag.schema import CardEstimate, Estimate, Gap, Interval, Known, OomAnswer, PeakBytes, Settings, Unavailable
from ilora_diag.schema.estimate import SCRIPT
from ilora_diag.schema.script_run import Moment, ScriptEnd, ScriptError, ScriptRun
from probes.estimate_cards import Answer, backend, context_middle, peak_bytes, span
from probes.estimate_parts import take_apart
from probes.estimate_replay import Replay
from probes.run_launch import Ended, Launch, shown
from probes.run_place import causes, module_of, phase_of
from probes.run_station import Stand, Station
from probes.run_stop import Stop
from probes.run_trace import levels_of, trace_of
from probes.trace import Trace
from probes.virtual.errors import VirtualDeviceError, is_outside_the_model
from probes.virtual.ledger import LOAD, OPTIMIZER, OUTSIDE
from probes.virtual.machine import Refused

_BY_LITTLE = (
    "memory ran out by less than the CUDA context is uncertain by: it was taken at its largest, and with the smallest "
    "the script would have got further"
)
_MEASURED = "read off the card: what was in use in total when the run ended, less what is reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is over.

    Attributes:
        station: the card.
        launch: what was run.
        ended: how it came to its end.
        stop: what counted its steps.
        begin: `time.perf_counter()` when the process began its work.
        started: other processes that it started.
    """

    station: Station
    launch: Launch
    ended: Ended
    stop: Stop
    begin: float
    started: tuple[str, ...] = ()


def answer(run: Run) -> ScriptRun:
    """Everything there is to tell. The ledger is cut where the run ended: what cleans up after it does not count."""
    station, stop, launch = run.station, run.stop, run.launch
    station.finish()
    end = _end(run)
    stand = _stand(run, end)
    station.ledger.cut(stand.num_events)
    begun = stand.phase != LOAD
    is_over = end in (ScriptEnd.FINISHED, ScriptEnd.STOPPED, ScriptEnd.EXITED) and stop.steps
    last_step = (stand.step if is_over else stand.step + 1) if begun else stand.step
    error = None if _is_good(end) else run.ended.error
    return ScriptRun(
        script=launch.script,
        args=launch.args,
        device=station.device,
        end=end,
        exit_code=run.ended.exit_code if run.stop.stood is None else 0,
        steps=stop.steps,
        steps_counted=stop.counted,
        error=None if error is None else _error(error, end),
        moment=_moment(station, stand, last_step),
        num_refused=len(station.refused),
        estimate=_estimate(run, end, stand, max(last_step, stop.steps)),
        started=run.started,
        made_up=tuple(station.notes.value_sentences()),
    )


def _is_good(end: ScriptEnd) -> bool:
    return end in (ScriptEnd.FINISHED, ScriptEnd.STOPPED)


def _end(run: Run) -> ScriptEnd:
    ended, error = run.ended, run.ended.error
    if run.stop.stood is not None:
        return ScriptEnd.STOPPED
    if ended.is_interrupted:
        return ScriptEnd.INTERRUPTED
    if error is None:
        return ScriptEnd.FINISHED if ended.exit_code == 0 else ScriptEnd.EXITED
    met = list(causes(error))
    if not run.station.is_real and any(is_outside_the_model(one) for one in met):
        return ScriptEnd.NOT_CARRIED
    if any(isinstance(one, torch.OutOfMemoryError) for one in met):
        return ScriptEnd.OUT_OF_MEMORY
    return ScriptEnd.FAILED


def _stand(run: Run, end: ScriptEnd) -> Stand:
    """Where it stood at its end, or at what ended it: by the time we hear of an exception, much has been unwound."""
    station, error = run.station, run.ended.error
    if isinstance(run.stop.stood, Stand):
        return run.stop.stood
    last = _fatal(station, end)
    if last is not None:
        return Stand(num_events=last.num_events, step=last.step, phase=last.phase, module=last.module)
    now = run.ended.stood if isinstance(run.ended.stood, Stand) else station.stand()
    if error is None:
        return now
    watch = station.watch
    return replace(now, phase=phase_of(error, now.phase), module=module_of(error, watch.name_of))


def _fatal(station: Station, end: ScriptEnd) -> Refused | None:
    return station.refused[-1] if end is ScriptEnd.OUT_OF_MEMORY and station.refused else None


_TELLING: dict[ScriptEnd, type[BaseException]] = {
    ScriptEnd.NOT_CARRIED: VirtualDeviceError,
    ScriptEnd.OUT_OF_MEMORY: torch.OutOfMemoryError,
}


def _error(error: BaseException, end: ScriptEnd) -> ScriptError:
    """The exception, or the one behind it that says what ended the run; the traceback shows both."""
    text = shown(error)
    if end in _TELLING:
        error = next((one for one in causes(error) if isinstance(one, _TELLING[end])), error)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ScriptError(type=name, message=str(error), traceback=text)


def _moment(station: Station, stand: Stand, step: int) -> Moment:
    ledger = station.ledger
    place = stand.num_events - 1
    return Moment(
        step=step,
        phase=stand.phase,
        module=stand.module,
        allocated_bytes=ledger.allocated[place] if place >= 0 else 0,
        reserved_bytes=ledger.reserved[place] if place >= 0 else 0,
    )


def _estimate(run: Run, end: ScriptEnd, stand: Stand, last_step: int) -> Known[Estimate]:
    station, ledger = run.station, run.station.ledger
    if not any(ledger.block_sizes):
        return Unavailable(reason="the script put nothing on the card", source=SCRIPT)
    notes = tuple(station.notes.counts.items())
    trace = trace_of(ledger, last_step=last_step, attention=station.attention, notes=notes)
    levels = levels_of(ledger, trace, num_alloc_retries=station.num_alloc_retries())
    fatal = _fatal(station, end)
    card = _card(station, trace, levels, end, None if fatal is None else _oom(fatal, last_step))
    parts = take_apart(trace, Answer(card=card, replay=levels), station.spec)
    return Estimate(
        gpu=card.gpu,
        torch=station.torch_version,
        settings=_settings(run),
        steps=run.stop.steps if run.stop.counted == "optimizer" else 0,
        peak=card.peak,
        interval=card.interval,
        fits=card.fits,
        by_category=parts.by_category,
        by_module=parts.by_module,
        by_op=parts.by_op,
        by_phase=parts.by_phase,
        chain=_with_others(parts.chain, station.other_bytes),
        largest_batch_that_fits=card.largest_batch_that_fits,
        knobs=(),
        cards=(card,),
        curve_categories=parts.curve_categories,
        curve=parts.curve,
        num_requests=parts.num_requests,
        assumptions=(*_assumptions(run, end, trace), *_close_call(card), *parts.notes),
        duration_s=round(time.perf_counter() - run.begin, 3),
    )


def _settings(run: Run) -> Settings:
    launch, stop = run.launch, run.stop
    return (
        ("script", launch.script),
        ("args", launch.args),
        ("device", run.station.device),
        *((("max_steps", stop.max_steps),) if stop.max_steps is not None else ()),
    )


def _with_others(chain: tuple[Gap, ...], other_bytes: int) -> tuple[Gap, ...]:
    return tuple(replace(gap, size_bytes=other_bytes) if gap.name == "other_processes" else gap for gap in chain)


def _card(station: Station, trace: Trace, levels: Replay, end: ScriptEnd, oom: OomAnswer | None) -> CardEstimate:
    spec, total = station.spec, station.spec.usable_total_bytes
    peak = peak_bytes(levels, spec)
    if station.other_bytes:
        peak = replace(peak, device_used_bytes=peak.device_used_bytes + station.other_bytes)
    interval = _interval(station, peak)
    return CardEstimate(
        gpu=spec.key,
        name=spec.nvml_name,
        compute_capability=".".join(map(str, spec.compute_capability)),
        memory_bytes=total,
        attention=_attention(trace, end),
        peak=peak,
        context_bytes=spec.context_bytes,
        interval=interval,
        fits=_fits(station, interval, end, oom),
        oom=oom,
        num_alloc_retries=levels.num_alloc_retries,
        largest_batch_that_fits=Unavailable(reason="a script's batch cannot be changed from outside", source=SCRIPT),
    )


def _attention(trace: Trace, end: ScriptEnd) -> Known[str]:
    """The attention kernel called most; unknown where something ended the script before any was."""
    if not trace.attention and end not in (ScriptEnd.FINISHED, ScriptEnd.STOPPED, ScriptEnd.EXITED):
        return Unavailable(reason="the script ended before it called any", source=SCRIPT)
    return backend(trace)


def _interval(station: Station, peak: PeakBytes) -> Interval:
    if not station.is_real:
        return span(peak.reserved_bytes, station.spec)
    used = min(peak.device_used_bytes, station.spec.usable_total_bytes)
    return Interval(low_bytes=used, high_bytes=used, basis=_MEASURED)


def _fits(station: Station, interval: Interval, end: ScriptEnd, oom: OomAnswer | None) -> Known[bool]:
    total = station.spec.usable_total_bytes
    if oom is not None:
        held = station.ledger.reserved[-1] if station.ledger.reserved else 0
        if not station.is_real and held + oom.requested_bytes + station.spec.context_bytes.low_bytes <= total:
            return Unavailable(reason=_BY_LITTLE, source=SCRIPT)
        return False
    if end not in (ScriptEnd.FINISHED, ScriptEnd.STOPPED, ScriptEnd.EXITED):
        return Unavailable(reason=f"the script did not get to its end ({end.value})", source=SCRIPT)
    if interval.high_bytes <= total:
        return True
    if interval.low_bytes > total:
        return False
    sizes = [f"{size / 2**30:.2f}" for size in (interval.low_bytes, interval.high_bytes, total)]
    return Unavailable(reason=f"between {sizes[0]} and {sizes[1]} GiB of {sizes[2]} GiB", source=SCRIPT)


def _oom(fatal: Refused, step: int) -> OomAnswer:
    return OomAnswer(
        step=step if fatal.phase != LOAD else 0,
        phase=fatal.phase,
        module=fatal.module,
        op=fatal.op,
        requested_bytes=fatal.size,
        message=fatal.message,
    )


def _close_call(card: CardEstimate) -> tuple[str, ...]:
    is_close = card.oom is not None and isinstance(card.fits, Unavailable)
    return (_BY_LITTLE,) if is_close else ()


def _assumptions(run: Run, end: ScriptEnd, trace: Trace) -> Iterator[str]:
    station, stop = run.station, run.stop
    if end is ScriptEnd.STOPPED:
        yield f"the script was ended after {stop.steps} steps: what it does later is not in these figures"
    if stop.counted == "backward":
        yield f"no torch.optim optimizer was made: every call of backward ({stop.steps}) was counted as a step"
    elif not stop.steps:
        yield "no step of an optimizer was done"
    caught = len(station.refused) - (end is ScriptEnd.OUT_OF_MEMORY)
    if caught > 0:
        yield f"the script caught {caught} out-of-memory errors and went on"
    if not station.is_real:
        yield (
            "nothing was computed: where the script branches on a loss or another result, it saw a made-up number; "
            "batches of other sizes than those seen need other memory"
        )
        yield f"context at the middle of its interval, {context_middle(station.spec) / 2**20:.0f} MiB"
    if OUTSIDE in trace.modules and OPTIMIZER not in {phase for _, _, phase in trace.marks}:
        yield "weights that no optimizer changes are told as what they are only where a model was called"
