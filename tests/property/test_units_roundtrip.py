"""Reading a printed size gives back the size within what was printed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ilora_diag.units import format_bytes, parse_bytes


@given(size=st.integers(0, 2**63))
def test_a_printed_size_reads_back_within_its_precision(size: int) -> None:
    text = format_bytes(size)
    number, unit = text.split()
    last_place = 10 ** -len(number.partition(".")[2]) * 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)
    exact = unit == "B"
    # Half of the last place printed, and the rounding of the float that was printed.
    assert abs(parse_bytes(text) - size) <= (0 if exact else last_place / 2 + size * 2**-52 + 1)


@given(size=st.integers(0, 2**50), unit=st.sampled_from(["", "B", "KiB", "MiB", "GiB", "TiB"]))
def test_whole_sizes_are_read_exactly(size: int, unit: str) -> None:
    scale = 1024 ** max(["B", "KiB", "MiB", "GiB", "TiB"].index(unit or "B"), 0)
    assert parse_bytes(f"{size}{unit}") == parse_bytes(f" {size} {unit.lower()}") == size * scale


@given(size=st.integers(0, 2**63), more=st.integers(0, 2**40))
def test_a_larger_size_never_reads_as_a_smaller_one(size: int, more: int) -> None:
    assert parse_bytes(format_bytes(size)) <= parse_bytes(format_bytes(size + more))
