"""Sizes and durations as text."""

from __future__ import annotations

import pytest

from ilora_diag.units import UnitError, format_bytes, format_duration, parse_bytes, typed_bytes


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1023 * 1024, "1023 KiB"),
        (1024**2 - 1, "1.00 MiB"),
        (20 * 1024**2, "20.0 MiB"),
        (int(11.3 * 1024**3), "11.3 GiB"),
        (999 * 1024**3, "999 GiB"),
        (2048 * 1024**3, "2.00 TiB"),
        (5000 * 1024**4, "5000 TiB"),
        (-(5 * 1024**2), "-5.00 MiB"),
    ],
)
def test_sizes_have_three_digits_and_binary_units(size: int, text: str) -> None:
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GiB", 16 * 1024**3), ("512MiB", 512 * 1024**2), ("1.5 gib", 3 * 1024**3 // 2), ("7", 7), (" 7 B ", 7)],
)
def test_sizes_are_read_as_people_type_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("16GB", "type 16GiB"),
        ("1.5g", "type 1.5GiB"),
        ("3 apples", "unknown unit 'apples': allowed are B, KiB, MiB, GiB, TiB"),
        ("1.5", "bytes are whole, type 1 or add KiB"),
        ("-1", "type bytes or a number with KiB"),
        ("", "type bytes or a number with KiB"),
        ("9" * 5000, "type bytes or a number with KiB"),
        ("1e9", "type bytes or a number with KiB"),
    ],
)
def test_what_is_no_size_is_refused_with_what_to_type(text: str, advice: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_bytes(text)
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00025, "250 us"),
        (0.0009999, "1.00 ms"),
        (0.045, "45.0 ms"),
        (0.9999, "1.00 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (86399, "1 d 00 h"),
        (97200, "1 d 03 h"),
    ],
)
def test_durations_read_as_a_person_would_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(4 << 30, "4GiB"), (1536 << 20, "1536MiB"), (3 << 10, "3KiB"), (1001, "1001"), (0, "0")]
)
def test_a_size_is_typed_exactly(size: int, text: str) -> None:
    assert typed_bytes(size) == text
    assert size == 0 or parse_bytes(text) == size
