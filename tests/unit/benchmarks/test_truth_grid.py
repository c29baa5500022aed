"""The grid covers what it promises, and its workloads run where there is no card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.truth.grid import grid
from benchmarks.truth.micro import probes
from benchmarks.truth.steps import run
from benchmarks.truth.workload import LLM_ADAPTERS, OPTIMIZERS, PRECISIONS, Workload, fingerprint

TINY = Workload(model="tiny", batch=2, length=32)


def test_the_grid_varies_every_factor_it_promises() -> None:
    found = grid()
    assert len(found) >= 60
    assert len({workload.name for workload in found}) == len(found)
    assert {workload.model for workload in found} >= {
        "sasrec",
        "opt-125m",
        "smollm2-135m",
        "llama-3.2-1b",
        "mistral-7b",
    }
    assert {workload.adapter for workload in found} == set(LLM_ADAPTERS)
    assert {workload.precision for workload in found} == set(PRECISIONS)
    assert {workload.optimizer for workload in found} == set(OPTIMIZERS)
    for factor, values in {
        "checkpointing": {True, False},
        "attention": {"sdpa", "eager"},
        "head": {"lm", "items"},
        "loop": {"plain", "lightning"},
        "expandable": {True, False},
        "padded": {True, False},
    }.items():
        assert {getattr(workload, factor) for workload in found} == values


def test_a_workload_survives_the_way_to_its_process() -> None:
    for workload in grid():
        assert Workload.from_dict(workload.to_dict()) == workload


def test_an_unknown_field_of_a_workload_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        Workload.from_dict(TINY.to_dict() | {"colour": "red"})


def test_a_result_belongs_to_one_workload_and_one_machine() -> None:
    card = {"device": "NVIDIA H100", "torch": "2.11.0"}
    keys = {
        fingerprint(TINY.to_dict(), card),
        fingerprint(replace(TINY, batch=3).to_dict(), card),
        fingerprint(TINY.to_dict(), card | {"torch": "2.13.0"}),
    }
    assert len(keys) == 3
    assert fingerprint(TINY.to_dict(), dict(card)) in keys


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"adapter": "full", "head": "items", "optimizer": "adamw-single", "checkpointing": True},
        {"adapter": "moe", "model": "tiny-opt", "head": "items", "padded": True, "checkpointing": True},
        {"adapter": "moe", "precision": "bf16", "attention": "eager"},
        {"precision": "bf16-autocast", "optimizer": "sgd"},
        {"model": "sasrec", "adapter": "full", "length": 8},
    ],
    ids=lambda change: "-".join(map(str, change.values())) or "plain",
)
def test_a_workload_runs_all_its_phases(change: dict[str, object]) -> None:
    result = run(replace(TINY, **change), "cpu")  # type: ignore[arg-type]
    phases = [(record["phase"], record["step"]) for record in result["phases"]]
    steps = [(phase, step) for step in (1, 2, 3) for phase in ("forward", "backward", "optimizer")]
    assert (result["outcome"], phases) == ("ok", [("load", 0), *steps, ("validation", 0)])


@pytest.mark.filterwarnings("ignore")
def test_lightning_goes_through_the_same_phases_as_the_plain_loop() -> None:
    plain, driven = (run(replace(TINY, loop=loop), "cpu") for loop in ("plain", "lightning"))
    names = [[(record["phase"], record["step"]) for record in result["phases"]] for result in (plain, driven)]
    assert names[0] == names[1]


def test_the_small_probes_have_names_that_say_what_they_run() -> None:
    names = set(probes())
    assert {"embedding float32 3072 backward", "embedding float32 3073 backward", "clip_grad_norm_"} <= names
    assert {"adamw foreach step 2", "adamw fused step 1", "dropout forward"} <= names
