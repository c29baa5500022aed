"""A pickle of events, whatever it looks like and wherever its pieces end, says event by event what it says whole."""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

from hypothesis import event as seen
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.memory.snapshot_errors import DamageError, ReadWholeError
from ilora_diag.memory.snapshot_events import ACTIONS
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.memory.snapshot_scan import scan
from ilora_diag.memory.snapshot_stream import read_by_events

FRAMES = [
    {"filename": f"/site/{'a' * (40 * number)}.py", "line": number * 200, "name": f"f{number}"} for number in range(8)
]
LISTS = [FRAMES[:3], FRAMES[2:3], FRAMES[1:7], [], list(FRAMES)]

integers = st.one_of(
    st.integers(0, 300), st.integers(0, 1 << 61), st.sampled_from((0, 255, 256, 65535, 65536, 1 << 31))
)
frames = st.one_of(
    st.sampled_from(LISTS),
    st.sampled_from(LISTS).map(list),
    st.sampled_from(LISTS).map(lambda frames: [dict(frame) for frame in frames]),
    st.lists(st.sampled_from(FRAMES), max_size=4),
)
odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.text(max_size=40), st.just([]), st.just({}),
    st.just([1]), st.just({"action": "alloc"}), st.floats(allow_nan=False), st.just((1, 2, 3, 4)),
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    action = draw(st.sampled_from(ACTIONS))
    made: dict[str, Any] = {"action": "".join(list(action)) if draw(st.booleans()) else action}
    made["device_free" if action == "oom" else "addr"] = draw(integers)
    made |= {"size": draw(integers), "stream": draw(st.sampled_from((0, 7, 1 << 47)))}
    if draw(st.booleans()):
        made |= {"time_us": draw(integers)}
    if draw(st.booleans()):
        made |= {"compile_context": "".join(["N", "/A"]), "user_metadata": draw(st.sampled_from(("", "x", "y" * 40)))}
    if draw(st.integers(0, 5)):
        made |= {"frames": draw(frames)}
    if not draw(st.integers(0, 150)):
        made[draw(st.sampled_from((*made, "frames")))] = draw(odd_values)
    if not draw(st.integers(0, 10)):
        made = dict(reversed(made.items()))
    return made


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    traces: list[Any] = draw(st.lists(st.lists(events(), max_size=25), max_size=3))
    content: dict[str, Any] = {"segments": [], "device_traces": traces}
    some = [event for trace in traces for event in trace]
    if some and not draw(st.integers(0, 3)):
        content = {"before": draw(st.sampled_from(some)), **content}
    if some and not draw(st.integers(0, 3)):
        draw(st.sampled_from(traces)).append(draw(st.sampled_from((some[0], some[-1], some[0].get("frames"), 3))))
    if traces and not draw(st.integers(0, 5)):
        content["external_annotations"] = traces[0]
    if traces and not draw(st.integers(0, 8)):
        traces[0] = tuple(traces[0])
    return content


def fields_of(content: dict[str, Any]) -> dict[str, Any]:
    return content | {"device_traces": [list(trace) for trace in content["device_traces"]]}


@settings(max_examples=300, deadline=None)
@given(
    contents(),
    st.integers(2, 5),
    st.booleans(),
    st.one_of(st.integers(1, 64), st.just(1 << 20)),
    st.sampled_from((0, 10, 100, 1 << 16)),
)
def test_reading_by_events_and_reading_whole_agree(
    content: dict[str, Any], protocol: int, is_slim: bool, chunk_bytes: int, margin_bytes: int
) -> None:
    data = pickle.dumps(content, protocol=protocol)
    data = pickletools.optimize(data) if is_slim else data
    assert scan(io.BytesIO(data), 1 << 30, chunk_bytes=chunk_bytes).num_bytes == len(data)
    try:
        expected: object = fields_of(checked_layout(pickle.loads(data)))
    except DamageError as damage:
        expected = str(damage)
    try:
        found: object = fields_of(read_by_events(io.BytesIO(data), chunk_bytes=chunk_bytes, margin_bytes=margin_bytes))
    except DamageError as damage:
        found = str(damage)
    except ReadWholeError:
        seen("has to be read whole")
        return
    seen("refused" if isinstance(found, str) else "read by events")
    assert found == expected
