"""The out-of-memory text, character by character against real logs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ilora_diag.memory.oom import OutOfMemoryFacts, ProcessUse, format_size, oom_message

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10

# Every CUDA log of the 2.1 wording and later that holds the whole sentence, and a version that wrote such ones.
LOGS = {
    "041__t21-colab.txt": "2.1.0+cu118",
    "043__t21-a100.txt": "2.1.2",
    "046__t21-wsl-underflow.txt": "2.1.0",
    "048__t21-3090.txt": "2.1.0",
    "051__t21-reforge191.txt": "2.1.2",
    "053__cs336-a10g-xl_256.txt": "2.6.0",
    "056__cs336-a10g-large_1024.txt": "2.6.0",
    "058__cs336-wsl-2.txt": "2.6.0",
    "061__cs336-wsl-noproc-1.txt": "2.6.0",
    "066__t22-convtran.txt": "2.2.0",
    "071__t2-h100-94gb.txt": "2.11.0",
    "073__t22-taggui188.txt": "2.3.0",
    "076__t22-xflux24.txt": "2.4.0",
    "078__t22-ollama10089.txt": "2.5.1",
    "081__t22-lorafast1.txt": "2.8.0",
    "083__pools-46gib-in-pools.txt": "2.6.0",
    "086__pools-qwen-gptq.txt": "2.6.0",
    "088__pools-dcu-over-capacity.txt": "2.5.1",
    "091__t210-gemma.txt": "2.10.0",
    "093__t210-cachedit.txt": "2.10.0+cu128",
    "096__t210-pufferlib487.txt": "2.10.0",
    "103__allowed-oumi.txt": "2.5.1",
}


def to_bytes(text: str) -> int:
    """A size that prints as this text again."""
    number, unit = text.split()
    if unit == "bytes":
        return int(number)
    scale = {"KiB": KIB, "MiB": MIB, "GiB": GIB}[unit]
    nbytes = round(float(number) * scale)
    assert format_size(nbytes) == text
    return nbytes


@pytest.mark.parametrize("name", sorted(LOGS))
def test_real_numbers_in_real_words(name: str, shared_data: Path) -> None:
    folder = shared_data / "oom_logs"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    fields = next(row["fields"] for row in rows if row["file"] == name)
    in_pools = to_bytes(fields["private_pools"]) if "private_pools" in fields else 0
    facts = OutOfMemoryFacts(
        requested_bytes=to_bytes(fields["requested"]),
        device=int(fields["gpu"]),
        total_bytes=to_bytes(fields["capacity"]),
        free_bytes=to_bytes(fields["free"]),
        allocated_bytes=to_bytes(fields["allocated"]) - in_pools,
        reserved_unallocated_bytes=to_bytes(fields["unallocated"]),
        processes=(
            *(ProcessUse(pid=pid, used_bytes=to_bytes(used)) for pid, used in fields.get("other_processes", ())),
            *(ProcessUse(pid=None, used_bytes=to_bytes(fields[own])) for own in ("this_process",) if own in fields),
        ),
        allowed_bytes=to_bytes(fields["allowed"]) if "allowed" in fields else None,
        private_pool_bytes=in_pools,
    )
    real = re.search(r"CUDA out of memory\..*", (folder / name).read_text())
    assert real is not None
    text = real[0].removesuffix(")") if name.startswith("091") else real[0]
    assert oom_message(facts, LOGS[name]) == text


def test_no_log_of_these_wordings_is_left_out(shared_data: Path) -> None:
    folder = shared_data / "oom_logs"
    whole = {
        path.name
        for path in folder.glob("*.txt")
        if re.search(
            r"CUDA out of memory\. Tried to allocate .*reserved by PyTorch but unallocated.*ocumentation",
            path.read_text(),
        )
    }
    cut_short = {"068__t2-mistral-vllm-cut.txt"}
    assert whole - cut_short == set(LOGS)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (1024, "1024 bytes"),
        (1025, "1.00 KiB"),
        (MIB, "1024.00 KiB"),
        (MIB + 1, "1.00 MiB"),
        (2 * MIB, "2.00 MiB"),
        (GIB, "1024.00 MiB"),
        (GIB + 1, "1.00 GiB"),
        ((1 << 64) - 1, "17179869184.00 GiB"),
    ],
)
def test_units_change_only_above_1024_of_the_last(nbytes: int, text: str) -> None:
    assert format_size(nbytes) == text


@pytest.mark.parametrize(
    ("version", "variable", "address"),
    [
        (
            "2.9.1+cu128",
            "PYTORCH_CUDA_ALLOC_CONF",
            "https://pytorch.org/docs/stable/notes/cuda.html#environment-variables",
        ),
        ("2.10.0", "PYTORCH_ALLOC_CONF", "https://pytorch.org/docs/stable/notes/cuda.html#environment-variables"),
        ("2.11.0", "PYTORCH_CUDA_ALLOC_CONF", "https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing"),
        ("a nightly", "PYTORCH_CUDA_ALLOC_CONF", "https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing"),
    ],
)
def test_the_hint_changes_with_the_version(version: str, variable: str, address: str) -> None:
    facts = OutOfMemoryFacts(
        requested_bytes=2 * MIB,
        device=0,
        total_bytes=GIB,
        free_bytes=0,
        allocated_bytes=0,
        reserved_unallocated_bytes=0,
    )
    text = oom_message(facts, version)
    assert f" {variable}=expandable_segments:True" in text
    assert f"({address}" in text


def test_younger_facts_stay_out_of_the_oldest_wording() -> None:
    facts = OutOfMemoryFacts(
        requested_bytes=2 * MIB,
        device=0,
        total_bytes=GIB,
        free_bytes=0,
        allocated_bytes=MIB,
        reserved_unallocated_bytes=0,
        allowed_bytes=GIB // 2,
        private_pool_bytes=MIB,
    )
    old, new = oom_message(facts, "2.1.0"), oom_message(facts, "2.6.0")
    assert "allowed" not in old
    assert "private pools" not in old
    assert "512.00 MiB allowed; Of the allocated memory" in new
    assert "with 1024.00 KiB allocated in private pools (e.g., CUDA Graphs), and " in new


def test_the_oldest_wording(shared_data: Path) -> None:
    folder = shared_data / "oom_logs"
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    compared = 0
    for row in (row for row in rows if row["family"] == "hint"):
        fields, log = row["fields"], (folder / row["file"]).read_text()
        real = re.search(r"CUDA out of memory\..*PYTORCH_CUDA_ALLOC_CONF", log)
        if real is None or not {"requested", "capacity", "allocated", "free", "reserved_total"} <= set(fields):
            continue
        allocated = to_bytes(fields["allocated"])
        facts = OutOfMemoryFacts(
            requested_bytes=to_bytes(fields["requested"]),
            device=int(fields["gpu"]),
            total_bytes=to_bytes(fields["capacity"]),
            free_bytes=to_bytes(fields["free"]),
            allocated_bytes=allocated,
            reserved_unallocated_bytes=to_bytes(fields["reserved_total"]) - allocated,
        )
        assert oom_message(facts, "2.0.1") == real[0]
        compared += 1
    assert compared == 5
