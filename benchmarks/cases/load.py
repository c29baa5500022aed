"""Joins the recorded rows with the recipes: which rows are compared, and why the others are not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.cases.case import Case, Measured
from benchmarks.cases.left_out import reason_for
from benchmarks.cases.recipe import Recipe
from benchmarks.naive_rules import outline_of

GIB, MIB = 2**30, 2**20


def recipes() -> dict[str, Recipe]:
    """All recipes by row id."""
    from benchmarks.cases import cs336, huggingface

    return {recipe.id: recipe for recipe in (*cs336.RECIPES, *huggingface.RECIPES)}


def load_cases(file: Path) -> tuple[list[Case], dict[str, str]]:
    """The comparable cases and, for every other row of the file, the reason it is not compared.

    Args:
        file: memory_cases.jsonl.

    Raises:
        ValueError: a row with neither recipe nor reason, or a recipe without a row.
    """
    known = recipes()
    cases: list[Case] = []
    left_out: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        recipe = known.pop(row["id"], None)
        if recipe is not None:
            cases.append(case_of(row, recipe))
        elif (reason := reason_for(row["id"])) is not None:
            left_out[row["id"]] = reason
        else:
            raise ValueError(f"{file.name}: row {row['id']} has neither a recipe nor a reason to leave it out")
    if known:
        raise ValueError(f"{file.name}: no row for the recipes {', '.join(sorted(known))}")
    return cases, left_out


def case_of(row: dict[str, Any], recipe: Recipe) -> Case:
    """One case from its row and its recipe."""
    found = row["measured"]
    printed = found.get("peak_allocated_gb_as_printed")
    nvml = found.get("nvml_peak_minus_start_bytes")
    measured = Measured(
        # The printed figures match 16 bytes per parameter in GiB, whatever their label says.
        allocated_bytes=found.get("peak_allocated_bytes") or (round(printed * GIB) if printed else None),
        reserved_bytes=found.get("peak_reserved_bytes"),
        after_bytes=found.get("allocated_at_window_end_bytes") or found.get("end_of_stage_allocated_bytes"),
        before_bytes=found.get("allocated_at_window_start_bytes"),
        device_bytes=nvml,
        resolution_bytes=_resolution(printed),
        out_of_memory=str(row.get("outcome", "")).startswith("OOM"),
    )
    capacity = found.get("capacity_gib")
    return Case(
        id=row["id"],
        family=recipe.family,
        gpu=recipe.gpu,
        torch_version=recipe.torch_version or _version(str(row.get("torch") or "")),
        build=recipe.build,
        measured=measured,
        memory_bytes=round(capacity * GIB) if capacity else found.get("total_gpu_memory_bytes") or recipe.memory_bytes,
        snapshot=Path(row["source"]["file"]).name if "file" in row["source"] else None,
        outside_bytes=recipe.outside_bytes,
        outline=outline_of(row),
        notes=recipe.notes,
    )


def _version(text: str) -> str:
    match = re.match(r"\d+\.\d+(\.\d+)?", text)
    if match is None:
        raise ValueError(f"no torch version in {text!r}: give the recipe one")
    return match[0]


def _resolution(printed: float | None) -> int:
    """One unit of the last printed digit, in bytes; trailing zeros are lost in JSON, so never finer than 0.01 GiB."""
    return 0 if printed is None else round(0.01 * GIB)
