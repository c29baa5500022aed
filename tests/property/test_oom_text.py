"""What memory.oom writes, knowledge.oom reads back; and no text breaks the reader."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.knowledge.oom import parse_oom
from ilora_diag.knowledge.oom_verdict import classify_oom
from ilora_diag.knowledge.scan import scan_text
from ilora_diag.memory.oom import OutOfMemoryFacts, ProcessUse, oom_message

SIZES = st.integers(min_value=0, max_value=200 << 30)
VERSIONS = st.sampled_from(["1.13.1", "2.0.1", "2.1.2", "2.2.0", "2.6.0", "2.9.1", "2.10.0", "2.11.0", "2.15.0"])


def close(found: object, size: int) -> bool:
    """Within the half unit of the second decimal that c10's format_size prints."""
    unit = 1 if size <= 1 << 10 else 1 << 10 if size <= 1 << 20 else 1 << 20 if size <= 1 << 30 else 1 << 30
    return isinstance(found, int) and abs(found - size) <= (unit * 0.00501 + 1 if unit > 1 else 0)


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, SIZES, SIZES, VERSIONS, st.booleans())
def test_every_number_that_is_written_is_read(
    requested: int, total: int, free: int, allocated: int, unallocated: int, used: int, version: str, own: bool
) -> None:
    facts = OutOfMemoryFacts(
        requested_bytes=requested,
        device=3,
        total_bytes=total,
        free_bytes=free,
        allocated_bytes=allocated,
        reserved_unallocated_bytes=unallocated,
        processes=(ProcessUse(pid=None if own else 4711, used_bytes=used),),
    )
    found = parse_oom(f"torch.OutOfMemoryError: {oom_message(facts, version)}\n")
    assert found is not None
    assert found.device == 3
    assert close(found.requested_bytes, requested)
    assert close(found.capacity_bytes, total)
    assert close(found.free_bytes, free)
    assert close(found.allocated_bytes, allocated)
    if not version.startswith(("1.", "2.0")):
        assert close(found.unallocated_bytes, unallocated)
        seen = found.this_process_bytes if own else found.other_processes[0].used_bytes
        assert close(seen, used)
    assert classify_oom(found).steps


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=400), st.binary(max_size=400)))
def test_any_text_is_read(text: str | bytes) -> None:
    reading = scan_text(text)
    assert reading.num_bytes >= 0
    assert len(reading.digest) == 64


@settings(max_examples=40, deadline=None)
@given(
    st.text(alphabet="CUDA out of memory. Tried to allocate 0123456789GiB GPU has a total capacity ;()", max_size=300)
)
def test_any_scrap_of_a_message_is_judged(scrap: str) -> None:
    found = parse_oom(f"CUDA out of memory. {scrap}")
    if found is not None:
        classify_oom(found)
