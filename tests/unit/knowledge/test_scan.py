"""Reading texts: what leads, what follows, and texts nobody would call texts."""

from __future__ import annotations

import io

import pytest

from ilora_diag.knowledge import scan
from ilora_diag.knowledge.reading import read_error
from ilora_diag.knowledge.scan import scan_stream, scan_text
from ilora_diag.schema import Unavailable

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 6 has a total capacity of 94.97 GiB "
    "of which 1.21 GiB is free. Of the allocated memory 91.23 GiB is allocated by PyTorch, and 1.40 GiB is reserved by "
    "PyTorch but unallocated.\n"
)
ASSERT = (
    "../aten/src/ATen/native/cuda/Indexing.cu:1369: indexSelectLargeIndex: block: [12,0,0], thread: [0,0,0] Assertion "
    "`srcIndex < srcSelectDimSize` failed.\n"
)


def leading(text: str | bytes) -> str:
    reading = read_error(text)
    return "" if reading.leading is None else reading.leading.id


@pytest.mark.parametrize("text", ["", b"", "epoch 3 of 10: loss 1.2\n" * 50, "\n\n"])
def test_a_text_without_errors_has_no_leading_signature(text: str | bytes) -> None:
    assert leading(text) == ""


@pytest.mark.parametrize("text", [b"\x00" * 5000, bytes(range(256)) * 40, b"\x89PNG\r\n\x1a\n\x00\x00" * 300])
def test_bytes_that_are_no_text_are_called_garbage(text: bytes) -> None:
    assert read_error(text).garbage


def test_text_in_utf_16_and_with_colours_is_text() -> None:
    assert leading("RuntimeError: CUDA driver error: operation not supported".encode("utf-16")) == "vmm_not_supported"
    assert (
        leading("\x1b[31mRuntimeError\x1b[0m: CUDA driver \x1b[1merror\x1b[0m: operation not supported")
        == "vmm_not_supported"
    )
    assert leading("RuntimeError: CUDA driver error: operation not supported\r\n") == "vmm_not_supported"
    assert not read_error("学習中にエラー: メモリ不足\n" * 100).garbage


def test_the_first_failure_in_time_leads_and_consequences_are_marked() -> None:
    text = (
        "RuntimeError: CUDA error: an illegal memory access was encountered\n"
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`\n"
        "[Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1, Timeout(ms)=600000) ran for 600042 "
        "milliseconds before timing out.\n"
    )
    reading = read_error(text)
    assert reading.leading is not None
    assert reading.leading.id == "illegal_address_700"
    assert [match.follows for match in reading.matches] == [False, True, True]


def test_the_device_line_is_more_specific_than_the_exception() -> None:
    assert leading(ASSERT + "RuntimeError: CUDA error: device-side assert triggered\n") == "assert_embedding"
    assert leading("RuntimeError: CUDA error: device-side assert triggered\n" + ASSERT) == "assert_embedding"
    assert leading("RuntimeError: CUDA error: device-side assert triggered\n") == "assert_710"


def test_general_signatures_lead_only_where_nothing_specific_stands() -> None:
    assert leading("Killed\n") == "killed_137"
    assert leading("Killed\n" + OOM) == "oom_torch_v2"


def test_a_message_across_the_border_of_two_pieces_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PIECE", 16_384)
    filler = "step 12 loss 1.234 lr 1e-4\n"
    for shift in range(0, 600, 37):
        before = filler * 590 + "x" * shift + "\n"
        reading = scan_text(before + OOM + filler * 2000)
        match = reading.match("oom_torch_v2")
        assert match is not None
        assert (match.count, match.first_line) == (1, 592)
        assert reading.oom is not None
        assert reading.oom.device == 6
        assert reading.oom.line == 592


def test_occurrences_are_counted_over_a_long_text_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "PIECE", 65_536)
    lines = ("loss 0.1\n" * 999 + "RuntimeError: CUDA error: an illegal memory access was encountered\n") * 100
    reading = scan_stream(io.BytesIO(lines.encode()))
    match = reading.match("illegal_address_700")
    assert match is not None
    assert (match.count, match.first_line, match.last_line) == (100, 1000, 100_000)
    assert reading.num_lines == 100_000
    assert len(reading.context) < 10_000


def test_the_exception_nearest_to_the_leading_match_is_named() -> None:
    text = "KeyError: 'a'\n" + "x\n" * 100 + OOM
    assert read_error(text).exception_type == "torch.OutOfMemoryError"
    assert isinstance(read_error("nothing here").exception_type, Unavailable)


def test_codes_are_named_with_their_row() -> None:
    reading = read_error(
        "cuInit failed: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\nError 803: x\nNVRM: Xid (PCI:0000:3b:00): 79, gone\n"
    )
    codes = {(code.space, code.number) for code in reading.codes}
    assert {("cuda", 803), ("xid", 79)} <= codes
    assert all(code.meaning for code in reading.codes if code.number in (803, 79))
    assert read_error("RuntimeError: loss 3\nValueError: 42 is too many\n").codes == ()
