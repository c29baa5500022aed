"""Every record survives a JSON round trip, and no record can be built that breaks its law."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ilora_diag import schema as s
from ilora_diag.schema import from_json, to_json

# Records are large and their laws are many small equations: few examples find what there is to find.
few = settings(max_examples=25, deadline=None)

sizes = st.integers(0, 2**40)
texts = st.text(max_size=12)
names = st.text(min_size=1, max_size=8)
unavailable = st.builds(s.Unavailable, reason=names, source=texts)
LEAVES = {
    str: texts,
    int: sizes,
    float: st.floats(0, 1e9) | st.integers(0, 9).map(float),
    bool: st.booleans(),
    NoneType: st.none(),
}


def known(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | unavailable


@cache
def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type; records with a law come from their own strategy below."""
    if kind in LAWFUL:
        return LAWFUL[kind]
    if kind in LEAVES:
        return LEAVES[kind]
    if get_origin(kind) in (Union, UnionType):
        return st.one_of([of_type(arm) for arm in get_args(kind)])
    if get_origin(kind) is tuple and get_args(kind)[1:] == (Ellipsis,):
        return st.lists(of_type(get_args(kind)[0]), max_size=3).map(tuple)
    if get_origin(kind) is tuple:
        return st.tuples(*(of_type(part) for part in get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert is_dataclass(kind), kind
    return record(kind)


def record(cls: Any, **given_fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    drawn = {spec.name: of_type(hints[spec.name]) for spec in fields(cls) if spec.name not in given_fields}
    return st.builds(cls, **drawn, **given_fields)


@st.composite
def samples(draw: st.DrawFn, allocated: int | None = None) -> s.MemorySample:
    """A chain of sizes that never decreases, any of which may be unknown unless it is given."""
    low = draw(st.lists(sizes, min_size=2, max_size=2).map(sorted))
    if allocated is not None:
        low = [min(low[0], allocated), allocated]
    chain: list[Any] = [*low, *(low[1] + more for more in sorted(draw(st.tuples(sizes, sizes, sizes))))]
    keep = draw(st.lists(st.booleans(), min_size=5, max_size=5))
    values = [
        size if kept or (place == 1 and allocated is not None) else draw(unavailable)
        for place, (size, kept) in enumerate(zip(chain, keep, strict=True))
    ]
    return s.MemorySample(
        t_s=draw(st.floats(0, 1e6)),
        step=draw(st.integers(0, 100)),
        phase=draw(texts),
        requested_bytes=values[0],
        allocated_bytes=values[1],
        active_bytes=values[2],
        reserved_bytes=values[3],
        device_used_bytes=values[4],
    )


@st.composite
def blocks(draw: st.DrawFn) -> s.Block:
    state, size = draw(st.sampled_from(s.BlockState)), draw(sizes)
    requested = 0 if state is s.BlockState.INACTIVE else draw(st.integers(0, size))
    category, module = draw(st.sampled_from(s.Category)), draw(known(texts))
    return s.Block(
        size_bytes=size,
        requested_bytes=requested,
        state=state,
        category=category,
        module=module,
        op=draw(known(texts)),
    )


@st.composite
def segments(draw: st.DrawFn) -> s.Segment:
    content = draw(st.lists(blocks(), max_size=4).map(tuple))
    size = sum(block.size_bytes for block in content)
    return s.Segment(size_bytes=size, stream=draw(st.integers(0, 3)), blocks=content)


def split(draw: st.DrawFn, total: int, keys: list[Any]) -> list[tuple[Any, int]]:
    """The total in parts, one for each key."""
    cuts = sorted(draw(st.lists(st.integers(0, total), min_size=len(keys) - 1, max_size=len(keys) - 1)))
    return list(zip(keys, (high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)), strict=True))


@st.composite
def peaks(draw: st.DrawFn, *, complete: bool = False) -> s.Peak:
    """A peak whose numbers come from a layout of segments, any of which may be unknown unless it is to be complete."""

    def seen(value: Any) -> Any:
        return value if complete else draw(known(st.just(value)))

    layout = draw(st.lists(segments(), max_size=3).map(tuple))
    every = [block for segment in layout for block in segment.blocks]
    held = [block for block in every if block.state is s.BlockState.ACTIVE_ALLOCATED]
    allocated = sum(block.size_bytes for block in held)
    pending = sum(block.size_bytes for block in every if block.state is s.BlockState.ACTIVE_PENDING_FREE)
    reserved = sum(segment.size_bytes for segment in layout)
    sample = s.MemorySample(
        t_s=draw(st.floats(0, 1e6)),
        step=draw(st.integers(0, 100)),
        phase=draw(texts),
        requested_bytes=seen(sum(block.requested_bytes for block in held)),
        allocated_bytes=allocated,
        active_bytes=seen(allocated + pending),
        reserved_bytes=seen(reserved),
        device_used_bytes=seen(reserved + draw(sizes)),
    )
    categories = draw(st.lists(st.sampled_from(s.Category), min_size=1, unique=True))
    modules = draw(st.lists(texts, min_size=1, max_size=3, unique=True))
    return s.Peak(
        sample=sample,
        by_category=tuple(s.CategoryShare(category=k, size_bytes=v) for k, v in split(draw, allocated, categories)),
        by_module=tuple(s.ModuleShare(module=k, size_bytes=v) for k, v in split(draw, allocated, modules)),
        segments=seen(layout),
    )


@st.composite
def timelines(draw: st.DrawFn) -> s.MemoryTimeline:
    peak = draw(peaks())
    top = peak.sample.allocated_bytes
    assert isinstance(top, int)
    rest = [draw(samples(allocated=draw(st.integers(0, top)))) for _ in range(draw(st.integers(0, 3)))]
    moments = sorted([*(sample.t_s for sample in rest), peak.sample.t_s])
    steps = sorted([*(sample.step for sample in rest), peak.sample.step])
    place = draw(st.integers(0, len(rest)))
    chosen = [*rest[:place], peak.sample, *rest[place:]]
    ordered = tuple(replace(x, t_s=t, step=n) for x, t, n in zip(chosen, moments, steps, strict=True))
    found = replace(peak, sample=ordered[place])
    return s.MemoryTimeline(
        device=draw(texts),
        samples=ordered,
        peak=draw(known(st.just(found))),
        num_dropped_events=draw(known(sizes)),
    )


@st.composite
def device_memory(draw: st.DrawFn) -> s.DeviceMemory:
    allocated, unused, higher, spare = draw(st.tuples(sizes, sizes, sizes, sizes))
    reserved, peak = allocated + unused, allocated + higher
    return s.DeviceMemory(
        allocated_bytes=allocated,
        reserved_bytes=reserved,
        peak_allocated_bytes=peak,
        peak_reserved_bytes=max(reserved, peak) + spare,
    )


@st.composite
def trials(draw: st.DrawFn) -> Any:
    status = draw(st.sampled_from(s.Status))
    signature = s.FailureSignature(family=s.ErrorFamily.PYTHON, stage="train", top_frame="a.py:f", code="E")
    code = draw(st.none() | st.integers(0, 255))
    return draw(
        record(
            s.Trial,
            id=names,
            status=st.just(status),
            reason=names,
            signature=st.just(None if status is s.Status.OK else signature),
            metrics=st.lists(record(s.Metric), max_size=3, unique_by=lambda metric: metric.name).map(tuple),
            exit_code=st.just(code),
            signal=st.none() if code is not None else st.sampled_from([None, "SIGKILL"]),
        )
    )


@st.composite
def model_summaries(draw: st.DrawFn) -> Any:
    groups = draw(st.lists(st.tuples(texts, sizes), max_size=3).map(tuple))
    trainable = sum(count for _, count in groups)
    total = trainable + draw(sizes)
    counts = {"num_parameters": st.just(total), "num_trainable": st.just(trainable)}
    return draw(record(s.ModelSummary, trainable_by_group=known(st.just(groups)), **counts))


@st.composite
def data_summaries(draw: st.DrawFn) -> Any:
    rows = draw(st.lists(record(s.BadRow), max_size=3).map(tuple))
    return draw(
        record(s.DataSummary, bad_rows=st.just(rows), num_bad_rows=known(sizes.map(lambda more: len(rows) + more)))
    )


@st.composite
def eval_metrics(draw: st.DrawFn) -> Any:
    low, value, high = (draw(known(st.just(x))) for x in sorted(draw(st.tuples(*[st.floats(0, 1)] * 3))))
    correct, wrong = draw(sizes), draw(sizes)
    return draw(
        record(
            s.EvalMetric,
            name=names,
            low=st.just(low),
            value=st.just(value),
            high=st.just(high),
            num_correct=known(st.just(correct)),
            num_samples=known(st.just(correct + wrong)),
        )
    )


@st.composite
def outcomes(draw: st.DrawFn) -> Any:
    state = draw(st.sampled_from(s.TrainState))
    error = record(s.TrainError) if state is s.TrainState.FAILED else st.none()
    return draw(record(s.TrainOutcome, state=st.just(state), error=error))


@st.composite
def train_runs(draw: st.DrawFn) -> Any:
    begin, end = sorted(draw(st.tuples(st.floats(0, 1e9), st.floats(0, 1e9))))
    steps = st.lists(record(s.Step), max_size=3, unique_by=lambda step: step.step)
    in_order = steps.map(lambda found: tuple(sorted(found, key=lambda step: step.step)))
    times = {"started_at": known(st.just(begin)), "ended_at": known(st.just(end))}
    return draw(record(s.TrainRun, steps=known(in_order), **times))


LAWFUL: dict[Any, st.SearchStrategy[Any]] = {
    s.Unavailable: unavailable,
    s.MemorySample: samples(),
    s.Block: blocks(),
    s.Segment: segments(),
    s.Peak: peaks(),
    s.MemoryTimeline: timelines(),
    s.DeviceMemory: device_memory(),
    s.Trial: trials(),
    s.ModelSummary: model_summaries(),
    s.DataSummary: data_summaries(),
    s.EvalMetric: eval_metrics(),
    s.TrainOutcome: outcomes(),
}
LAWFUL[s.TrainRun] = train_runs()
LAWFUL[s.Fact] = record(s.Fact, path=names)
LAWFUL[s.Facts] = record(
    s.Facts, facts=st.lists(LAWFUL[s.Fact], max_size=3, unique_by=lambda fact: fact.path).map(tuple)
)
LAWFUL[s.Probe] = record(s.Probe, deadline_s=st.floats(0.001, 1e6))
LAWFUL[s.Intent] = record(s.Intent, id=names)
LAWFUL[s.Finding] = record(
    s.Finding,
    code=names,
    evidence=st.lists(record(s.Evidence), min_size=1, max_size=2).map(tuple),
    decider=record(s.Decider),
)
LAWFUL[s.Report] = record(
    s.Report,
    run_id=names,
    kind=names,
    trials=st.lists(LAWFUL[s.Trial], max_size=2, unique_by=lambda trial: trial.id).map(tuple),
    timelines=st.lists(LAWFUL[s.MemoryTimeline], max_size=1).map(tuple),
    train=st.none() | LAWFUL[s.TrainRun],
)

DOCUMENTS = (s.Facts, s.Probe, s.Intent, s.Trial, s.Finding, s.MemoryTimeline, s.TrainRun, s.Report)


@pytest.mark.parametrize("cls", DOCUMENTS, ids=lambda cls: cls.SCHEMA)
@few
@given(data=st.data())
def test_every_record_survives_a_round_trip(cls: Any, data: st.DataObject) -> None:
    before = data.draw(LAWFUL[cls])
    text = to_json(before)
    assert from_json(cls, text) == before
    assert to_json(from_json(cls, text)) == text
    assert text.isascii()
    assert "\n" not in text


@few
@given(data=st.data())
def test_keys_of_a_newer_minor_version_are_taken_no_notice_of(data: st.DataObject) -> None:
    before = data.draw(LAWFUL[s.Trial])
    document = {**json.loads(to_json(before)), "schema_version": "1.99", "invented_later": {"deep": [1]}}
    assert from_json(s.Trial, json.dumps(document)) == before


@few
@given(value=st.floats())
def test_any_float_survives(value: float) -> None:
    metric = s.Metric(name="m", value=value, unit="1")
    trial = s.Trial(
        id="T-01",
        probe="p",
        requested=(),
        effective=(),
        status=s.Status.OK,
        started_at=0.0,
        seconds=1.0,
        metrics=(metric,),
    )
    back = from_json(s.Trial, to_json(trial)).metrics[0].value
    assert isinstance(back, float)
    assert back == value or (back != back and value != value)


garbage = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts | st.sampled_from(["float", "unavailable"]), inner)
    ),
    max_leaves=5,
)


@few
@given(data=st.data())
def test_a_damaged_document_is_refused_by_name_or_read_and_nothing_else_happens(data: st.DataObject) -> None:
    document = json.loads(to_json(data.draw(LAWFUL[s.Report])))
    where: Any = document
    while True:  # walk to a random place and put something else there
        places = list(where) if isinstance(where, dict) else list(range(len(where)))
        assume(places)
        place = data.draw(st.sampled_from(places))
        if not isinstance(where[place], (dict, list)) or not where[place] or data.draw(st.booleans()):
            break
        where = where[place]
    where[place] = data.draw(garbage)
    try:
        found = from_json(s.Report, json.dumps(document))
    except s.SchemaError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(found, s.Report)


@few
@given(peak=peaks(complete=True))
def test_the_parts_of_a_reserved_byte_sum_up_over_any_layout(peak: s.Peak) -> None:
    assert isinstance(peak.segments, tuple)
    every = [block for segment in peak.segments for block in segment.blocks]
    free = sum(block.size_bytes for block in every if block.state is s.BlockState.INACTIVE)
    numbers = (
        peak.sample.requested_bytes,
        peak.internal_fragmentation_bytes,
        peak.pending_free_bytes,
        peak.external_fragmentation_bytes,
        peak.sample.reserved_bytes,
    )
    *parts, reserved = [number for number in numbers if isinstance(number, int)]
    assert len(parts) == 4
    assert sum(parts) == reserved
    assert parts[3] == free


@few
@given(sample=samples(), place=st.integers(0, 3), excess=st.integers(1, 2**30))
def test_sizes_out_of_order_are_refused(sample: s.MemorySample, place: int, excess: int) -> None:
    chain = ("requested_bytes", "allocated_bytes", "active_bytes", "reserved_bytes", "device_used_bytes")
    above = getattr(sample, chain[place + 1])
    assume(isinstance(above, int))
    with pytest.raises(s.LawError, match="requested <= allocated"):
        replace(sample, **{chain[place]: above + excess})


@few
@given(peak=peaks(), excess=st.integers(1, 2**20))
def test_breakdowns_that_do_not_sum_to_the_peak_are_refused(peak: s.Peak, excess: int) -> None:
    more = replace(peak.by_category[0], size_bytes=peak.by_category[0].size_bytes + excess)
    with pytest.raises(s.LawError, match="the categories sum to"):
        replace(peak, by_category=(more, *peak.by_category[1:]))
    other = replace(peak.by_module[0], size_bytes=peak.by_module[0].size_bytes + excess)
    with pytest.raises(s.LawError, match="the modules sum to"):
        replace(peak, by_module=(other, *peak.by_module[1:]))


@few
@given(segment=segments(), excess=st.integers(1, 2**20))
def test_blocks_that_do_not_fill_their_segment_are_refused(segment: s.Segment, excess: int) -> None:
    with pytest.raises(s.LawError, match="the blocks fill the segment"):
        replace(segment, size_bytes=segment.size_bytes + excess)


@few
@given(timeline=timelines())
def test_the_peak_is_the_largest_sample(timeline: s.MemoryTimeline) -> None:
    assume(isinstance(timeline.peak, s.Peak))
    peak = timeline.peak
    assert isinstance(peak, s.Peak)
    top = peak.sample.allocated_bytes
    assert isinstance(top, int)
    last = timeline.samples[-1]
    rest: Any = s.Unavailable(reason="not sampled")
    higher = replace(
        last,
        requested_bytes=rest,
        allocated_bytes=top + 1,
        active_bytes=rest,
        reserved_bytes=rest,
        device_used_bytes=rest,
    )
    with pytest.raises(s.LawError, match="largest sample"):
        replace(timeline, samples=(*timeline.samples, higher))
