"""The card table and the names that lead to it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ilora_diag.hardware.context import GIB, READINGS, context_interval
from ilora_diag.hardware.gpu_table import AMBIGUOUS, ROWS, SOURCES
from ilora_diag.hardware.gpus import GPUS, MIB, UnknownGpu, _compact, find_gpu, with_memory
from ilora_diag.schema import Unavailable


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("h100", "h100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("H100_PCIe", "h100-pcie"),
        ("RTX 3090", "rtx-3090"),
        ("3090", "rtx-3090"),
        ("GeForce RTX 2080 Ti", "rtx-2080-ti"),
        ("rtx_pro_6000", "rtx-pro-6000"),
        ("Tesla T4", "t4"),
        ("A100-SXM4-80GB", "a100-80gb"),
        ("a6000", "rtx-a6000"),
    ],
)
def test_a_card_is_found_however_it_is_written(typed: str, key: str) -> None:
    assert find_gpu(typed).key == key


@pytest.mark.parametrize("typed", [spelling for row in ROWS for spelling in (row.key, row.nvml_name)])
def test_every_key_and_every_nvml_name_leads_to_its_own_row(typed: str) -> None:
    assert typed in (find_gpu(typed).key, find_gpu(typed).nvml_name)


def test_no_two_cards_share_a_spelling() -> None:
    spellings = [
        (_compact(text), row.key)
        for row in ROWS
        for text in {_compact(t): t for t in (row.key, row.nvml_name, *filter(None, row.aliases.split(",")))}.values()
    ]
    names = [name for name, _ in spellings]
    assert sorted(names) == sorted(set(names))
    assert not set(names) & set(AMBIGUOUS)


def test_a_name_sold_in_two_sizes_is_refused_and_both_are_named() -> None:
    with pytest.raises(UnknownGpu, match=r"a100-40gb .* or a100-80gb ") as caught:
        find_gpu("A100")
    assert caught.value.nearest == ("a100-40gb", "a100-80gb")
    assert find_gpu("a100-40gb").memory_bytes == 40960 * MIB  # the nearest name that is not ambiguous


def test_an_unknown_card_names_the_nearest() -> None:
    with pytest.raises(UnknownGpu, match="nearest: rtx-4090") as caught:
        find_gpu("rtx 4095")
    assert caught.value.nearest[0] == "rtx-4090"
    for empty in ("", "   ", "quantum"):
        with pytest.raises(UnknownGpu, match="for example, h100"):
            find_gpu(empty)


def test_a_vgpu_profile_has_its_own_memory_and_no_virtual_memory_management() -> None:
    spec = find_gpu("GRID A100-40C")
    assert (spec.memory_bytes, spec.compute_capability, spec.vmm) == (40960 * MIB, (8, 0), False)
    assert not spec.unverified
    assert find_gpu("a100-40gb").vmm is True
    sliced = find_gpu("GRID A100D-3-40C")
    assert (sliced.memory_bytes, sliced.compute_capability) == (40 * GIB, (8, 0))
    assert isinstance(sliced.sm_count, Unavailable)
    blackwell = find_gpu("NVIDIA RTX Pro 6000 Blackwell DC-1-24Q MIG 1g.24gb")
    assert (blackwell.compute_capability, blackwell.memory_bytes) == ((12, 0), 24 * GIB)


def test_a_mig_instance_has_a_part_of_its_card() -> None:
    spec = find_gpu("NVIDIA A100 80GB PCIe MIG 1g.10gb")
    assert (spec.key, spec.compute_capability) == ("a100-80gb-pcie-mig-1g.10gb", (8, 0))
    assert spec.torch_total.low_bytes <= 9728 * MIB <= spec.torch_total.high_bytes  # what torch printed there
    assert isinstance(spec.vmm, Unavailable)
    for seen, profile in ((40448, "3g.40gb"), (20096, "2g.20gb"), (9984, "1g.10gb")):  # nvidia-smi on an H100
        total = find_gpu(f"NVIDIA H100 80GB HBM3 MIG {profile}").torch_total
        assert total.low_bytes <= seen * MIB <= total.high_bytes
    with pytest.raises(UnknownGpu):
        find_gpu("NVIDIA Z100 MIG 1g.10gb")


def test_a_mig_instance_may_be_typed_without_the_word_but_not_without_its_card() -> None:
    assert find_gpu("h100-1g.10gb") == replace(find_gpu("h100-mig-1g.10gb"), nvml_name="h100-1g.10gb")
    assert find_gpu("H100-1G.10GB").key == "h100-mig-1g.10gb"
    assert find_gpu("NVIDIA-A100-SXM4-40GB-MIG-1c.3g.20gb+me").key == "a100-40gb-mig-1c.3g.20gb+me"
    with pytest.raises(UnknownGpu, match=r"type a100-40gb-mig-2g\.10gb or a100-80gb-mig-2g\.10gb") as caught:
        find_gpu("a100-2g.10gb")
    assert [find_gpu(key).compute_capability for key in caught.value.nearest] == [(8, 0), (8, 0)]


def test_a_refusal_says_how_the_memory_is_set() -> None:
    with pytest.raises(UnknownGpu, match="--memory 16GiB"):
        find_gpu("h10")


@pytest.mark.parametrize("name", ["GRID X9-40C", "GRID A100-0C", "GRID A100-40Z"])
def test_a_profile_of_no_known_chip_is_unknown(name: str) -> None:
    with pytest.raises(UnknownGpu):
        find_gpu(name)


@pytest.mark.parametrize("spec", GPUS.values(), ids=GPUS)
def test_a_row_is_in_order(spec: object) -> None:
    spec = GPUS[spec.key]  # type: ignore[attr-defined]
    assert spec.torch_total.low_bytes <= spec.torch_total.high_bytes <= spec.memory_bytes + MIB
    assert spec.torch_total.low_bytes >= spec.memory_bytes * 95 // 100
    assert spec.usable_total_bytes == spec.torch_total.low_bytes
    assert spec.context_bytes.low_bytes > 0
    assert spec.sources
    assert set(spec.unverified_fields) <= {"cc", "memory", "sms", "name"}
    row = next(row for row in ROWS if row.key == spec.key)
    if "memory" in spec.unverified_fields:
        assert "UNV" in row.sources
    if "PROPS" in row.sources.split():
        assert "sms" not in spec.unverified_fields
    assert set(row.sources.split()) <= set(SOURCES)


def test_a_total_nobody_printed_is_unknown_and_still_bounded() -> None:
    assert isinstance(find_gpu("h100-nvl").torch_total_bytes, Unavailable)
    assert find_gpu("h100-nvl").usable_total_bytes < find_gpu("h100-nvl").memory_bytes
    assert find_gpu("h200").torch_total_bytes == 143156 * MIB


def test_memory_given_by_the_user_replaces_every_total() -> None:
    spec = with_memory(find_gpu("rtx-3080"), 12 * GIB)
    assert (spec.memory_bytes, spec.torch_total_bytes, spec.usable_total_bytes) == (12 * GIB,) * 3
    with pytest.raises(ValueError, match="positive"):
        with_memory(spec, 0)


def test_context_of_a_card_that_was_read_rests_on_its_own_readings() -> None:
    read = context_interval("a10g")
    assert "053__cs336-a10g-xl_256" in read.basis
    assert read.low_bytes < 0.285 * GIB < read.high_bytes
    other = context_interval("h100")
    assert other.basis.startswith("[unverified]")
    assert other.high_bytes > read.high_bytes


@pytest.mark.data
def test_readings_are_what_the_messages_say(shared_data: Path) -> None:
    index = {}
    for line in (shared_data / "oom_logs" / "index.jsonl").read_text().splitlines():
        entry = json.loads(line)
        index[entry["file"].removesuffix(".txt")] = entry["bytes_approx"] | {"fields": entry["fields"]}
    for reading in READINGS:
        message = index[reading.log]
        others = message["fields"].get("other_processes")
        process = message.get("this_process") or round(float(others[0][1].split()[0]) * GIB)
        outside = process - message["allocated"] - message["unallocated"]
        assert abs(outside - reading.num_bytes) <= MIB, reading.log
        if reading.gpu:
            total = GPUS[reading.gpu].torch_total
            assert total.low_bytes - 8 * MIB <= message["capacity"] <= total.high_bytes + 8 * MIB, reading.log


@pytest.mark.data
def test_the_table_holds_every_card_of_the_compatibility_facts(shared_data: Path) -> None:
    facts = json.loads((shared_data.parent / "facts" / "cuda_compat.json").read_text())
    for card in facts["gpus"]:
        spec = find_gpu(card["nvml_name"])
        assert spec.memory_bytes == card["memory_mib"] * MIB
        assert ".".join(map(str, spec.compute_capability)) == card["cc"]
