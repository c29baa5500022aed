"""Any program on the allocator model, watched from any moment on: the window tells each total as the model had it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ilora_diag.memory.allocator import AllocatorSettings, Block, CachingAllocator
from ilora_diag.memory.events import TraceEvent
from ilora_diag.memory.oom import AllocatorOutOfMemory
from ilora_diag.memory.snapshot import analyse
from ilora_diag.memory.snapshot_errors import DamageError, SnapshotFileError
from ilora_diag.memory.snapshot_file import RawSnapshot, read_snapshot
from ilora_diag.memory.snapshot_layout import checked_layout
from ilora_diag.memory.snapshot_state import state_at
from ilora_diag.memory.window import BEFORE, read_window
from ilora_diag.schema import Snapshot, from_json, to_json

MIB = 1 << 20
sizes = st.one_of(st.integers(1, 4096), st.integers(1, 2 * MIB), st.integers(MIB, 40 * MIB))
steps = st.lists(st.one_of(sizes, st.integers(-20, -1), st.just(0)), max_size=60)
allocator_settings = st.sampled_from(
    (
        AllocatorSettings(),
        AllocatorSettings(expandable_segments=True),
        AllocatorSettings(max_split_size_bytes=24 * MIB),
        AllocatorSettings(roundup_power2_divisions=(4,) * 16),
    )
)


class Watched:
    """Positive numbers allocate so many bytes, negative ones free a live block, zero empties the cache."""

    def __init__(self, settings: AllocatorSettings, capacity_bytes: int | None) -> None:
        self.settings, self.events, self.watching = settings, list[dict[str, Any]](), False
        self.model = CachingAllocator(capacity_bytes, settings=settings, record=self._record)
        self.live: list[Block] = []

    def run(self, step: int) -> None:
        if step > 0:
            try:
                block = self.model.malloc(step)
            except AllocatorOutOfMemory:
                return
            assert block is not None
            self.live.append(block)
        elif step < 0 and self.live:
            self.model.free(self.live.pop(step % len(self.live)))
        elif step == 0:
            self.model.empty_cache()

    def _record(self, event: TraceEvent) -> None:
        if self.watching:
            self.events.append(event.to_dict() | {"frames": []})

    def raw(self) -> RawSnapshot:
        divisions = {str(1 << power): value for power, value in enumerate(self.settings.roundup_power2_divisions)}
        content = {
            "segments": self.model.snapshot_segments(),
            "device_traces": [self.events],
            "allocator_settings": {
                "max_split_size": self.settings.max_split_size_bytes or -1,
                "roundup_power2_divisions": divisions,
            },
        }
        return RawSnapshot(path=Path("a.pickle"), **checked_layout(content))


@hypothesis_settings(max_examples=40, deadline=None)
@given(allocator_settings, st.sampled_from((None, 120 * MIB)), steps, steps)
def test_totals_before_and_at_every_event_are_those_of_the_model(
    settings: AllocatorSettings, capacity_bytes: int | None, unseen: list[int], seen: list[int]
) -> None:
    program = Watched(settings, capacity_bytes)
    for step in unseen:
        program.run(step)
    program.watching = True
    moments = [(BEFORE, program.model.allocated_bytes, program.model.reserved_bytes)]
    for step in seen:
        program.run(step)
        moments.append((len(program.events) - 1, program.model.allocated_bytes, program.model.reserved_bytes))
    raw = program.raw()
    window = read_window(raw, 0)
    assert window.num_unmatched == 0
    for moment, allocated, reserved in moments:
        state = state_at(window, moment)
        # What no event holds, the size of blocks that the window only saw freed, follows from the allocator's rules.
        assert state.allocated_bytes + state.unseen_rest_bytes == allocated
        assert state.reserved_bytes == reserved
    told = analyse(raw)
    assert from_json(Snapshot, to_json(told)) == told


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_damage_anywhere_is_a_clear_error_or_harmless(
    tmp_path_factory: Any, noise: bytes, place: int, byte: int
) -> None:
    import pickle

    program = Watched(AllocatorSettings(), None)
    program.watching = True
    for step in (5 * MIB, 600, -1, 3 * MIB):
        program.run(step)
    content = {"segments": program.model.snapshot_segments(), "device_traces": [program.events]}
    data = bytearray(pickle.dumps(content, protocol=4))
    data[place % len(data)] = byte
    path = tmp_path_factory.mktemp("damaged") / "a.pickle"
    for attempt in (bytes(data), b"\x80\x04" + noise, noise):
        path.write_bytes(attempt)
        try:
            told = analyse(read_snapshot(path))
        except SnapshotFileError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is fine, and both are checked
        else:
            assert from_json(Snapshot, to_json(told)) == told


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 70), 1 << 70),
    st.sampled_from((0, 1, 511, 1 << 20, 1 << 62, 1 << 63, (1 << 64) - 1)),
    st.floats(),
    st.text(max_size=5),
    st.builds(list),
    st.builds(dict),
    st.lists(st.integers(), max_size=2),
)


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of nested dicts and lists."""
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    below = [place for key in keys if isinstance(holder[key], dict | list) for place in _places(holder[key])]
    return [*((holder, key) for key in keys), *below]


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1 << 20), odd_values), min_size=1, max_size=3))
def test_an_odd_value_anywhere_is_accepted_or_refused_never_a_crash(changes: list[tuple[int, object]]) -> None:
    program = Watched(AllocatorSettings(roundup_power2_divisions=(4,) * 16), None)
    program.watching = True
    for step in (5 * MIB, 600, -1, 3 * MIB):
        program.run(step)
    content: dict[str, Any] = {
        "segments": program.model.snapshot_segments(),
        "device_traces": [program.events],
        "allocator_settings": {"max_split_size": -1, "roundup_power2_divisions": {"1": 4, "2": 4}},
        "external_annotations": [{"stage": "END", "name": "Optimizer.step#SGD", "device": 0, "time_us": 5}],
    }
    for number, event in enumerate(program.events):
        event |= {"time_us": number + 1, "frames": [{"filename": "a.py", "line": 3, "name": "f"}]}
    for place, value in changes:
        places = _places(content)
        holder, key = places[place % len(places)]
        holder[key] = value
    try:
        told = analyse(RawSnapshot(path=Path("a.pickle"), **checked_layout(content)))
    except (DamageError, SnapshotFileError) as error:
        assert str(error)  # noqa: PT017
    else:
        assert to_json(from_json(Snapshot, to_json(told))) == to_json(told)
