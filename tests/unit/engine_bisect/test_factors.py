"""What can be relaxed: of the machine, of a configuration, of a script, and of a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilora.config import load_config
from ilora_diag.bisect.costs import COSTS
from ilora_diag.engine.bisect.config_factors import accepted_by, config_factors, halvings
from ilora_diag.engine.bisect.machine_factors import machine_factors
from ilora_diag.engine.bisect.script_factors import (
    WATCHED,
    argument_factors,
    intervention_factors,
    retention_factors,
    without_opportunity,
)
from ilora_diag.engine.bisect.user_factors import FactorsFileError, read_factors
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope
from ilora_diag.schema.known import Settings, Unavailable
from ilora_diag.schema.trial_answer import GrownTensors, Holder, Opportunity, Retention, SecondCopy

GIB = 1 << 30


def _of_config(*overrides: str, file: str | None = "incident") -> dict[str, Factor]:
    config = load_config(overrides, file=file)
    return {factor.name: factor for factor in config_factors(config, accepted_by(config, "cuda"))}


def _names(factor: Factor) -> tuple[str, ...]:
    return tuple(level.name for level in factor.levels)


def _machine(device: str, base: Settings, **environ: str) -> dict[str, Factor]:
    return {factor.name: factor for factor in machine_factors(device, base, environ)}


# -- machine ---------------------------------------------------------------------------------------------------------


def test_expandable_segments_that_were_set_can_be_unset_or_switched_off() -> None:
    factor = _machine("virtual:t4", (("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),))["alloc_conf"]
    assert _names(factor) == ("expandable_segments:True", "unset", "expandable_segments:False")
    assert factor.levels[1].changes == (("env.PYTORCH_CUDA_ALLOC_CONF", None),)
    assert (factor.scope, factor.is_mitigation) == (FactorScope.ENVIRONMENT, True)
    assert factor.category == "expandable_unsupported"


def test_the_variable_of_this_process_counts_where_none_was_typed() -> None:
    factor = _machine("cuda", (), PYTORCH_ALLOC_CONF="max_split_size_mb:64")["alloc_conf"]
    assert _names(factor) == ("max_split_size_mb:64", "unset", "expandable_segments:True")
    assert factor.levels[1].changes == (("env.PYTORCH_ALLOC_CONF", None),)
    assert factor.category == "oom_fragmentation"


def test_what_was_typed_unset_is_unset_whatever_this_process_has() -> None:
    factor = _machine("cuda", (("env.PYTORCH_CUDA_ALLOC_CONF", None),), PYTORCH_CUDA_ALLOC_CONF="backend:native")
    assert _names(factor["alloc_conf"])[0] == "unset"


def test_other_processes_are_a_factor_of_a_virtual_card_that_has_some() -> None:
    assert _names(_machine("virtual:t4", (("device.other_bytes", 14 * GIB),))["other_processes"]) == ("14.0 GiB", "0 B")
    assert "other_processes" not in _machine("virtual:t4", ())
    assert "other_processes" not in _machine("cuda", (("device.other_bytes", 14 * GIB),))


def test_a_slice_of_a_card_can_be_relaxed_to_the_whole_card_and_a_whole_card_cannot() -> None:
    slice_of = _machine("virtual:t4", (("device.memory_bytes", 4 * GIB),))["card_memory"]
    assert slice_of.levels[1].changes == (("device.memory_bytes", None),)
    assert "card_memory" not in _machine("virtual:t4", (("device.memory_bytes", 15 * GIB),))


def test_a_cpu_has_no_allocator_to_set() -> None:
    assert _machine("cpu", ()) == {}


# -- configuration -----------------------------------------------------------------------------------------------------


def test_the_incident_has_a_factor_for_everything_it_sets() -> None:
    found = _of_config("train.batch_size=32", "train.loop=lightning")
    assert {"batch_size", "seq_len", "precision", "checkpointing", "optimizer", "lora_rank", "experts", "loop"} <= set(
        found
    )
    assert _names(found["batch_size"]) == ("32", "16", "8", "4", "2", "1")
    assert found["checkpointing"].is_mitigation
    assert all(level.cost in COSTS for factor in found.values() for level in factor.levels)


def test_a_level_the_configuration_would_be_refused_with_is_left_out() -> None:
    assert _names(_of_config()["precision"]) == ("auto", "bf16", "fp16")
    assert _names(_of_config("train.loop=lightning")["precision"]) == ("auto", "bf16")
    assert all(int(name) % 4 == 0 for name in _names(_of_config()["lora_rank"]))


def test_what_is_already_as_mild_as_can_be_is_no_factor() -> None:
    found = _of_config("train.batch_size=1", "train.optimizer=sgd", "lora.num_experts=1", "data.max_seq_len=32")
    assert not {"batch_size", "optimizer", "experts", "seq_len", "attention", "head"} & set(found)


def test_halving_ends_at_the_lowest() -> None:
    assert halvings(12, 1) == [6, 3, 1]
    assert halvings(1, 1) == []
    assert halvings(64, 32) == [32]


# -- script ------------------------------------------------------------------------------------------------------------


def test_an_intervention_with_something_to_act_on_is_a_factor_and_one_without_is_named() -> None:
    seen = (
        Opportunity(name="no_kv_cache", count=3, value=True, detail="model"),
        Opportunity(name="batch_size", count=3, value=8, detail="train.py:12"),
        Opportunity(name="trim_padding", count=0, value=0, detail=""),
    )
    found = {factor.name: factor for factor in intervention_factors(seen)}
    assert set(found) == {"no_kv_cache", "batch_size"}
    assert _names(found["batch_size"]) == ("8", "4", "2", "1")
    assert found["no_kv_cache"].levels[1].changes == (("apply.no_kv_cache", True),)
    assert {one.what for one in without_opportunity(seen)} == set(WATCHED) - set(found)


def test_a_trained_base_is_a_defect_beside_adapters_and_a_choice_without_them() -> None:
    (defect,) = intervention_factors(
        (Opportunity(name="freeze_base", count=1, value="9 parameters of the base, beside adapters", detail=""),)
    )
    (choice,) = intervention_factors(
        (Opportunity(name="freeze_base", count=1, value="9 parameters of the base", detail=""),)
    )
    assert (defect.levels[1].cost, choice.levels[1].cost) == ("none", "less_capacity")
    assert defect.prior > choice.prior


def test_numbers_of_the_command_line_that_say_what_they_are_become_factors() -> None:
    found = {
        factor.name: factor
        for factor in argument_factors(
            (
                "--per_device_train_batch_size=8",
                "--lr",
                "2",
                "--max_seq_length",
                "512",
                "--batch-size",
                "1",
                "--epochs",
                "3",
            )
        )
    }
    assert set(found) == {"per_device_train_batch_size", "max_seq_length"}
    assert found["max_seq_length"].levels[1].changes == (("arg.--max_seq_length", 256),)


def _grown(name: str, *, graph: bool) -> GrownTensors:
    holder = Holder(name=name, chain=("list of 6",), where="train.py:9")
    return GrownTensors(
        shape=(2, 3), dtype="float32", num_tensors=6, size_bytes=144, bytes_per_step=24, module="m", op="add",
        with_graph=graph, holder=holder,
    )  # fmt: skip


def test_who_keeps_tensors_becomes_a_factor_by_name_only_where_live_bytes_grow() -> None:
    copy = SecondCopy(
        name="model", copy_name="reference", size_bytes=10, num_tensors=1,
        same_content=Unavailable(reason="virtual"), holder=Holder(name="script:reference", chain=(), where=""),
    )  # fmt: skip
    grown = (
        _grown("script:losses", graph=True),
        _grown("script:losses", graph=True),
        _grown("script:out", graph=False),
    )

    def retention(*, growing: bool) -> Retention:
        return Retention(
            live_bytes=(1, 2), slope_bytes=1.0, slope_error_bytes=0.0, is_growing=growing, grown=grown, copies=(copy,),
            frozen_with_state_bytes=0,
        )  # fmt: skip

    found = {factor.name: factor for factor in retention_factors(retention(growing=True))}
    assert set(found) == {"release script:losses", "release script:out", "drop script:reference"}
    assert found["release script:losses"].category == "retained_graph"
    assert found["release script:out"].category == "retained_outputs"
    assert {factor.name for factor in retention_factors(retention(growing=False))} == {"drop script:reference"}
    assert list(retention_factors(None)) == []


# -- a user's own ------------------------------------------------------------------------------------------------------

GOOD = """
factors:
  - name: width
    kind: ordered
    cost: less_capacity
    levels: [{name: 4096}, {name: 2048, set: {llm.arch.hidden_size: 2048}}]
  - name: flag
    levels: [{name: "on"}, {name: "off", set: {env.FLAG: "0"}, change: export FLAG=0}]
"""


def test_factors_of_a_users_own_are_read(tmp_path: Path) -> None:
    file = tmp_path / "factors.yaml"
    file.write_text(GOOD)
    width, flag = read_factors(file)
    assert (width.kind, width.scope, width.levels[1].change) == (
        FactorKind.ORDERED, FactorScope.SETTING, "llm.arch.hidden_size=2048",
    )  # fmt: skip
    assert (flag.kind, flag.scope) == (FactorKind.UNORDERED, FactorScope.ENVIRONMENT)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "a mapping with a list `factors`"),
        ("factors: []", "a mapping with a list `factors`"),
        ("factors: [{name: a, kind: sorted, levels: [{name: x}, {name: y}]}]", "ordered, unordered, binary"),
        ("factors: [{name: a, levels: [{name: x}]}]", "two or more"),
        ("factors: [{name: a, levles: []}]", "levles"),
        ("factors: [{name: a, cost: dear, levels: [{name: x}, {name: y, set: {k: 1}}]}]", "dear"),
        ("factors: [{name: a, levels: [{name: x, set: {k: 1}}, {name: y}]}]", "the failing one and changes nothing"),
        ("factors: [{name: a, levels: [{name: x}, {name: y, set: {k: {deep: 1}}}]}]", "plain values"),
        ("factors: [{name: a, levels: [{name: x}, {name: x, set: {k: 1}}]}]", "level of a"),
        ("factors: {{{", "cannot be read"),
        ("factors: [{name: a, prior: -1, levels: [{name: x}, {name: y, set: {k: 1}}]}]", "above 0"),
    ],
)
def test_a_bad_factors_file_is_refused_by_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "factors.yaml"
    file.write_text(text)
    with pytest.raises(FactorsFileError, match=r"factors\.yaml") as caught:
        read_factors(file)
    assert told in str(caught.value)


def test_two_factors_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "factors.yaml"
    file.write_text(GOOD.replace("name: flag", "name: width"))
    with pytest.raises(FactorsFileError, match="twice"):
        read_factors(file)


def test_a_factors_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FactorsFileError, match="cannot be read"):
        read_factors(tmp_path / "none.yaml")
