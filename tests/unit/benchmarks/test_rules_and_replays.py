"""What stands beside the predictions: rules of thumb, bounds of a whole card's reading, replays, single operators."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.accuracy import nearest_within, rule_errors
from benchmarks.cases.load import load_cases
from benchmarks.naive_rules import Outline, accelerate_rule, formula, outline_of
from benchmarks.op_accuracy import peak_of
from benchmarks.op_cases.recipes import load_op_cases, release_at
from benchmarks.replayed import with_replay

FULL = Outline(trains=True, weight_bytes=4, adapter_params=None, states=2)


def test_accelerate_counts_four_times_the_weights_and_nothing_for_lora() -> None:
    assert accelerate_rule(FULL, 1000) == 16_000
    assert accelerate_rule(replace(FULL, weight_bytes=2), 1000) == 8_000
    assert accelerate_rule(replace(FULL, weight_bytes=2, adapter_params=10), 1000) == 8_000
    assert accelerate_rule(replace(FULL, trains=False, weight_bytes=2), 1000) == 2_000


def test_the_formula_follows_what_trains_and_how() -> None:
    assert formula(FULL, 1000) == 16_000
    assert formula(replace(FULL, states=0), 1000) == 8_000
    assert formula(replace(FULL, trains=False), 1000) == 4_000
    assert formula(replace(FULL, weight_bytes=2, adapter_params=10), 1000) == 2_000 + 3 * 40


def test_a_row_is_outlined() -> None:
    model = {"hidden": 4096, "heads": 32, "kv_heads": 8, "layers": 32}
    lora = {"r": 16, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    row = {"method": "lora", "dtype": "bfloat16", "optimizer": "AdamW", "model": model, "lora": lora}
    assert outline_of(row) == Outline(trains=True, weight_bytes=2, adapter_params=13_631_488, states=2)
    forward = {"method": "forward_no_grad", "dtype": "float32", "optimizer": "AdamW constructed, never stepped"}
    assert outline_of(forward) == Outline(trains=False, weight_bytes=4, adapter_params=None, states=0)
    counted = {"method": "full", "dtype": "float32", "optimizer": None, "model": {"params": 7}}
    assert outline_of(counted).num_params == 7
    sgd = {"method": "full", "dtype": "float32", "optimizer": "torch.optim.SGD(params)"}
    assert outline_of(sgd).states == 0


@pytest.mark.parametrize(("measured", "predicted"), [(90, 100), (100, 100), (120, 120), (130, 125)])
def test_a_reading_of_the_whole_card_is_met_within_its_bounds_only(measured: int, predicted: int) -> None:
    assert nearest_within(100, (0, 25), measured) == predicted


def test_the_release_of_a_day_is_the_newest_one() -> None:
    assert release_at("2024-09-03 15:31:42") == "2.4.0"
    assert release_at("2020-01-01") == "2.4.0"
    assert release_at("2025-07-17") == "2.7.1"


def test_an_operator_row_that_nobody_has_looked_at_is_an_error() -> None:
    with pytest.raises(ValueError, match="new has neither a recipe nor a reason"):
        load_op_cases([{"id": "new", "op": "fft", "provider": "x", "mode": "full"}])


@pytest.mark.data
def test_every_determined_operator_is_met_to_the_byte(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "op_cases.jsonl").read_text(encoding="utf-8").splitlines()]
    cases, left_out = load_op_cases(rows)
    assert len(cases) + len(left_out) == len(rows)
    assert {case.id: peak_of(case) for case in cases} == {case.id: case.measured_bytes for case in cases}


@pytest.mark.data
def test_a_recording_replaces_the_figures_of_its_row(shared_data: Path, tmp_path: Path) -> None:
    cases = {case.id: case for case in load_cases(shared_data / "memory_cases.jsonl")[0]}
    case = cases["cs336-hyperion-large-256-fw"]
    replayed = with_replay(case, shared_data / "snapshots").measured
    assert (case.measured.origin, replayed.origin) == ("row", "replay")
    # The row adds up rounded requests; blocks are up to 1 MiB longer.
    assert replayed.allocated_bytes == 4_037_830_144
    assert case.measured.allocated_bytes == 4_037_338_624
    assert replayed.reserved_bytes == case.measured.reserved_bytes
    assert with_replay(case, tmp_path) == case
    assert set(rule_errors(replace(case, measured=replayed), 3_877_647_360)) == {
        "accelerate estimate-memory", "weights+gradients+states",
    }  # fmt: skip
