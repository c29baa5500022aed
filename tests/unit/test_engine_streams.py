"""What is kept of a stream."""

from __future__ import annotations

import pytest

from ilora_diag.engine.streams import BoundedBuffer


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, 1000])
@pytest.mark.parametrize("total", [0, 1, 9, 10, 29, 30, 31, 200, 1000])
def test_the_first_and_the_last_bytes_are_kept_and_all_are_counted(chunk: int, total: int) -> None:
    content = bytes(number % 251 for number in range(total))
    buffer = BoundedBuffer(10, 20)
    for start in range(0, total, chunk):
        buffer.add(content[start : start + chunk])
    dropped = max(0, total - 30)
    assert (buffer.num_bytes, buffer.num_dropped_bytes) == (total, dropped)
    assert buffer.content() == (content if not dropped else content[:10] + content[-20:])


def test_a_flood_is_trimmed_while_it_comes() -> None:
    buffer = BoundedBuffer(10, 20)
    for _ in range(100):
        buffer.add(b"x" * 65536)
        assert len(buffer._tail) <= 3 * 65536
    assert buffer.num_dropped_bytes == 100 * 65536 - 30


def test_a_character_across_the_border_of_head_and_tail_survives() -> None:
    buffer = BoundedBuffer(4, 20)
    buffer.add("abc\u3042def".encode())
    assert buffer.captured().text == "abc\u3042def"


def test_bytes_that_are_no_text_and_the_gap_are_shown() -> None:
    buffer = BoundedBuffer(2, 2)
    buffer.add(b"\xffa-----b\xff")
    assert buffer.captured().text == "\ufffda\n... 5 bytes dropped ...\nb\ufffd"
