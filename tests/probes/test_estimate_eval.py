"""The evaluation in an estimate: what is run of it stands for the whole, and the whole is what a run takes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ilora.config import Config, load_config
from ilora_diag.hardware.gpus import find_gpu, with_memory
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema.estimate import EVALUATION_PHASES, hungriest_evaluation
from probes.estimate_cards import Ground, answer, without_limit
from probes.estimate_compose import make_setup
from probes.estimate_eval import prompts, prompts_tokens, title_tokens
from probes.estimate_eval_decode import IrregularError, prolonged
from probes.estimate_eval_parts import (
    evaluation_changes,
    evaluation_of,
    trained_at,
    training_of,
)
from probes.estimate_replay import live_after
from probes.estimate_trace import Bench
from probes.estimate_work import HELD, CardTask, SearchTask, run_cards, run_search
from probes.trace import Trace

GROUND = Ground(settings=AllocatorSettings(), torch_version="2.13.0")
HUNGRY = ("train.batch_size=1", "eval.batch_size=64", "eval.max_new_tokens=12")


def tiny(*overrides: str) -> Config:
    return load_config(
        ["llm=tiny", "data.source=synthetic", "data.max_seq_len=128", "data.num_candidates=10", *overrides]
    )


def traced(config: Config, *, whole: bool = False) -> Trace:
    with Bench(make_setup(config, find_gpu("h100"), "2.13.0")) as bench:
        found = bench.trace(config, steps=2, evaluation=True, whole=whole)
        assert bench.is_clean
        return found


@pytest.mark.parametrize(
    "overrides", [HUNGRY, ("llm=tiny-opt", *HUNGRY, "train.precision=fp32", "llm.attn_implementation=eager")]
)
def test_an_answer_prolonged_from_its_first_tokens_takes_what_a_written_one_takes(overrides: tuple[str, ...]) -> None:
    config = tiny(*overrides)
    derived, whole = traced(config), traced(config, whole=True)
    found = [without_limit(trace, find_gpu("h100"), GROUND) for trace in (derived, whole)]
    assert found[0].phases == found[1].phases
    assert found[0].peak_reserved_bytes == found[1].peak_reserved_bytes
    assert len(derived.events) < len(whole.events)
    assert live_after(derived, len(derived.events)) == live_after(whole, len(whole.events))


def test_passes_that_do_not_repeat_themselves_are_not_prolonged() -> None:
    config = tiny(*HUNGRY)
    trace = traced(config)
    begin = trained_at(trace)
    with pytest.raises(IrregularError):
        prolonged(trace, [begin, begin + 10, begin + 31, begin + 90], 12)


@pytest.mark.parametrize(
    ("overrides", "phases"),
    [
        ((), ["baseline", "scoring", "generation"]),
        (("eval.scoring=false",), ["baseline", "generation"]),
        (("eval.generation=false", "eval.batch_size=1"), ["baseline", "scoring"]),
        (("model.head=items", "eval.export=true"), ["ranking", "export"]),
        (("eval.max_new_tokens=1", "compat=reference"), ["baseline", "scoring", "generation"]),
    ],
)
def test_what_is_configured_is_evaluated_after_training(overrides: tuple[str, ...], phases: list[str]) -> None:
    found = without_limit(traced(tiny(*overrides)), find_gpu("h100"), GROUND)
    assert [phase.phase for phase in found.phases if phase.phase in EVALUATION_PHASES] == phases
    assert [phase.phase for phase in found.phases][-len(phases) :] == phases


def test_the_step_cut_out_is_the_step_traced_alone_and_the_evaluation_alone_holds_its_own_peak() -> None:
    config = tiny(*HUNGRY)
    trace = traced(config)
    with Bench(make_setup(config, find_gpu("h100"), "2.13.0")) as bench:
        alone = bench.trace(config, steps=2)
    cut = training_of(trace)
    assert (cut.events, cut.sizes, cut.ops, cut.modules, cut.marks) == (
        alone.events, alone.sizes, alone.ops, alone.modules, alone.marks,
    )  # fmt: skip
    whole, evaluation = (without_limit(one, find_gpu("h100"), GROUND) for one in (trace, evaluation_of(trace)))
    assert evaluation.peak_allocated_bytes == whole.peak_allocated_bytes
    assert hungriest_evaluation(whole.phases) == "generation"
    assert [change.typed for change in evaluation_changes(config, "generation")] == [
        "eval.batch_size=32", "eval.generation=false",
    ]  # fmt: skip


def test_memory_that_is_enough_for_the_step_alone_runs_out_in_the_evaluation() -> None:
    config = tiny(*HUNGRY)
    setup = make_setup(config, find_gpu("h100"), "2.13.0")
    trace = traced(config)
    step = without_limit(training_of(trace), setup.spec, GROUND).peak_reserved_bytes
    spec = with_memory(setup.spec, setup.spec.context_bytes.high_bytes + step * 108 // 100)
    assert answer(training_of(trace), spec, GROUND).card.fits is True
    task = CardTask(setup=replace(setup, spec=spec), specs=(spec,), ground=GROUND, is_first=True)
    found = run_cards(task)
    card = found.cards[0]
    assert card.fits is not True
    assert found.evaluated == (False,)
    if card.oom is not None:  # with the smallest context it may still just fit
        assert card.oom.phase in EVALUATION_PHASES
    assert run_search(SearchTask(cards=task, trace=found.trace, evaluated=found.evaluated)) == (0,)
    HELD.close()


def test_the_longest_prompt_and_the_longest_titles_fit_into_a_sample() -> None:
    for overrides in ((), ("data.max_seq_len=512", "data.num_candidates=20"), ("data.max_seq_len=48",)):
        config = tiny(*overrides)
        titles, batch = title_tokens(config), prompts(config, 120)
        assert titles >= 1
        assert prompts_tokens(config) + titles + 1 == config.data.max_seq_len
        assert batch.input_ids.shape == (config.eval.batch_size, prompts_tokens(config))
        assert int(batch.placeholder_cols.max()) < prompts_tokens(config)


@pytest.mark.slow
def test_a_run_on_real_batches_takes_in_its_evaluation_what_the_estimate_says(tmp_path: Path) -> None:
    """The trainer itself on the same card: its batches are a few tokens shorter, and its answers as long."""
    config = tiny(
        "data.prompt=item", "rec.max_epochs=1", "train.batch_size=1", "train.max_steps=4", "train.precision=bf16",
        "eval.batch_size=64", "eval.max_samples=64", "eval.scoring=false",
    )  # fmt: skip
    file = tmp_path / "config.yaml"
    file.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
    argv = [sys.executable, "-P", "-W", "ignore", "-m", "probes.train_virtual", "--gpu", "h100", "--config", str(file)]
    subprocess.run([*argv, "--run-dir", str(tmp_path / "run")], check=True, timeout=200)
    events = [json.loads(line) for line in (tmp_path / "run" / "runlog.jsonl").read_text().splitlines()]
    took = next(e["device"] for e in events if e.get("phase") == "eval" and e.get("status") == "end")
    allocated, reserved = took["peak_allocated_bytes"], took["peak_reserved_bytes"]
    found = without_limit(traced(config), find_gpu("h100"), GROUND)
    assert hungriest_evaluation(found.phases) == "generation"
    assert abs(found.peak_allocated_bytes - allocated) * 20 <= allocated
    assert abs(found.peak_reserved_bytes - reserved) * 20 <= reserved
