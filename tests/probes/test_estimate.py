"""Estimates on the virtual device: what is answered adds up, repeats itself, and agrees with what is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from ilora.config import Config, load_config
from ilora.llm import LlmError
from ilora_diag.hardware.gpus import GpuSpec, find_gpu, with_memory
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import Category, Estimate, Unavailable, from_json
from probes.estimate_ahead import Before, begun
from probes.estimate_batch import longest_batch, placeholders
from probes.estimate_batches import BatchTraces, Search, on_the_line
from probes.estimate_cards import Ground, answer, fits_at_ease, without_limit
from probes.estimate_compose import estimate
from probes.estimate_knobs import changed, changes
from probes.estimate_model import architecture, catalogue_size
from probes.estimate_parts import take_apart
from probes.estimate_record import Question
from probes.estimate_replay import Replay, curve
from probes.estimate_trace import Bench, Setup, trace_once
from probes.trace import Trace
from probes.virtual.machine import environment

GROUND = Ground(settings=AllocatorSettings(), torch_version="2.13.0")
TINY = ("llm=tiny", "data.source=synthetic", "data.max_seq_len=128", "train.batch_size=3")
MIB = 1 << 20


def setup_of(config: Config, gpu: str = "h100") -> Setup:
    return Setup(
        config=config,
        shape=architecture(config),
        num_items=catalogue_size(config).num_items,
        spec=find_gpu(gpu),
        torch_version="2.13.0",
        environ={},
    )


def tiny(*overrides: str) -> Config:
    return load_config([*TINY, *overrides])


def replayed(trace: Trace, gpu: str = "h100") -> Replay:
    return without_limit(trace, find_gpu(gpu), GROUND)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train.gradient_checkpointing=true", "train.precision=fp32"),
        ("llm=tiny-opt", "train.gradient_accumulation_steps=2", "train.eval_every=1"),
        ("model.head=items", "train.optimizer=sgd", "lora.gate=per_layer_mlp"),
    ],
)
def test_steps_after_the_second_reach_no_higher_peak(overrides: tuple[str, ...]) -> None:
    config = tiny(*overrides)
    with Bench(setup_of(config)) as bench:
        two, four = (replayed(bench.trace(config, steps=steps)) for steps in (2, 4))
    assert two.peak_allocated_bytes == four.peak_allocated_bytes
    assert two.peak_reserved_bytes == four.peak_reserved_bytes


def test_the_lightning_loop_holds_what_the_plain_one_holds() -> None:
    """The same teacher, optimizer and batches: the same parameters and states, and a peak within a tenth."""
    plain, lightning = (tiny(f"train.loop={loop}", "train.precision=bf16") for loop in ("plain", "lightning"))
    traces = [trace_once(setup_of(config), steps=2) for config in (plain, lightning)]
    kept = [
        sum(
            size
            for size, category in zip(trace.sizes, trace.categories, strict=True)
            if category in (Category.PARAMETER, Category.OPTIMIZER_STATE)
        )
        for trace in traces
    ]
    assert kept[0] == kept[1]
    peaks = [replayed(trace).peak_allocated_bytes for trace in traces]
    assert abs(peaks[0] - peaks[1]) * 10 <= peaks[0]


def test_a_bench_gives_the_same_trace_whatever_was_traced_before() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        first = bench.trace(config, steps=2)
        bench.trace(changed(config, "train.batch_size", 5), steps=1)
        again = bench.trace(config, steps=2)
        assert bench.is_clean
    fresh = trace_once(setup_of(config), steps=2)
    for other in (again, fresh):
        assert (other.events, other.sizes, other.modules, other.ops) == (
            first.events, first.sizes, first.modules, first.ops,
        )  # fmt: skip
        assert (other.categories, other.marks) == (first.categories, first.marks)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.gradient_checkpointing", True),
        ("llm.attn_implementation", "eager"),
        ("train.optimizer", "sgd"),
        ("data.max_seq_len", 64),
    ],
)
def test_a_change_on_a_used_bench_is_worth_what_it_is_on_a_new_one(key: str, value: Any) -> None:
    config = tiny()
    other = changed(config, key, value)
    with Bench(setup_of(config)) as bench:
        bench.trace(config, steps=2)
        used = replayed(bench.trace(other, steps=2))
    new = replayed(trace_once(setup_of(other), steps=2))
    assert (used.peak_allocated_bytes, used.peak_reserved_bytes) == (new.peak_allocated_bytes, new.peak_reserved_bytes)


def test_the_parts_of_the_peak_sum_to_it_and_carry_names() -> None:
    trace = trace_once(setup_of(tiny()), steps=2)
    found = answer(trace, find_gpu("h100"), GROUND)
    parts = take_apart(trace, found, find_gpu("h100"))
    total = found.card.peak.allocated_bytes
    for shares in (parts.by_category, parts.by_module, parts.by_op):
        assert sum(share.size_bytes for share in shares) == total
    nameless = sum(share.size_bytes for share in parts.by_module if share.module == "(outside modules)")
    assert nameless * 100 <= total
    assert sum(gap.size_bytes for gap in parts.chain) == found.card.peak.device_used_bytes
    assert max(phase.allocated_bytes for phase in parts.by_phase) == total
    assert [phase.phase for phase in parts.by_phase][:4] == ["load", "forward", "backward", "optimizer"]
    assert {phase.step for phase in parts.by_phase} == {0, 1, 2}
    assert len(parts.curve) <= 600
    assert max(sum(point.sizes) for point in parts.curve) == total


def test_parameters_and_states_are_those_of_the_model() -> None:
    """The tiny model in bfloat16, adapters and the rest in float32, two states for each trainable number."""
    config = tiny("train.precision=bf16")
    with Bench(setup_of(config)) as bench:
        trace = bench.trace(config, steps=2)
        teacher = bench.teacher
        parameters = sum(p.numel() * p.element_size() for p in teacher.parameters())
        states = 2 * sum(p.numel() * p.element_size() for p in teacher.parameters() if p.requires_grad)
    asked = dict.fromkeys(Category, 0)
    alive = {abs(event) for event in trace.events} - {-event for event in trace.events if event < 0}
    for number in range(1, len(trace.sizes)):
        if number in alive or trace.categories[number] is Category.OPTIMIZER_STATE:
            asked[trace.categories[number]] += trace.sizes[number]
    assert asked[Category.PARAMETER] == parameters
    assert asked[Category.OPTIMIZER_STATE] == states


def test_a_card_without_bf16_is_given_float32() -> None:
    config = tiny()
    ampere, turing = (trace_once(setup_of(config, gpu), steps=1) for gpu in ("a100-80gb", "t4"))
    assert sum(turing.sizes[: turing.num_load_events]) > sum(ampere.sizes[: ampere.num_load_events])


def small_card(memory_bytes: int) -> GpuSpec:
    """An H100 with little memory and a context known to the byte."""
    spec = with_memory(find_gpu("h100"), memory_bytes)
    return replace(spec, context_bytes=replace(spec.context_bytes, low_bytes=0, high_bytes=0))


def test_fits_needs_the_whole_interval_and_not_needs_none_of_it() -> None:
    trace = trace_once(setup_of(tiny()), steps=2)
    reserved = replayed(trace).peak_reserved_bytes
    at_ease, close, too_small = (
        answer(trace, small_card(reserved * percent // 100), GROUND).card for percent in (110, 101, 80)
    )
    assert at_ease.fits is True
    assert isinstance(close.fits, Unavailable)
    assert close.oom is None
    assert too_small.fits is False
    assert too_small.oom is not None
    assert "CUDA out of memory" in too_small.oom.message


def test_memory_smaller_than_the_weights_runs_out_while_loading() -> None:
    trace = trace_once(setup_of(tiny()), steps=1)
    card = answer(trace, small_card(2 * MIB), GROUND).card
    assert card.fits is False
    assert card.oom is not None
    assert (card.oom.step, card.oom.phase) == (0, "load")
    assert card.peak.reserved_bytes <= 2 * MIB


def test_the_largest_batch_is_an_executed_pair() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        traces = BatchTraces(bench, config, bench.trace(config, steps=2))
        card = small_card(replayed(traces.run[3]).peak_reserved_bytes * 2)
        found = Search(traces, card, GROUND).largest(max_runs=8, executed=True)
        assert isinstance(found, int)
        assert found > 3
        assert fits_at_ease(without_limit(traces.run[found], card, GROUND), card)
        assert not fits_at_ease(without_limit(traces.run[found + 1], card, GROUND), card)


def test_not_even_one_sample_fits_is_zero() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        traces = BatchTraces(bench, config, bench.trace(config, steps=2))
        assert Search(traces, small_card(2 * MIB), GROUND).largest(max_runs=8, executed=True) == 0


def test_a_trace_between_two_is_the_one_that_is_run() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        low, middle, high = (bench.trace(changed(config, "train.batch_size", size), steps=2) for size in (40, 47, 60))
    derived = on_the_line(low, 40, high, 60, 47)
    assert derived is not None
    differing = {op for op, one, other in zip(low.ops, derived.sizes, middle.sizes, strict=True) if one != other}
    assert differing <= {"aten::sum.dim_IntList partial results"}, "scratch that a kernel cuts into whole blocks"
    assert abs(sum(derived.sizes) - sum(middle.sizes)) * 1000 < sum(middle.sizes)


def test_scratch_that_the_smaller_batch_does_without_is_taken_from_the_larger_one() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        low, middle, high = (bench.trace(changed(config, "train.batch_size", size), steps=2) for size in (3, 57, 60))
    assert low.ops != high.ops
    derived = on_the_line(high, 60, low, 3, 57)
    assert derived is not None
    assert (derived.ops, derived.events) == (middle.ops, middle.events)
    differing = {op for op, one, other in zip(middle.ops, derived.sizes, middle.sizes, strict=True) if one != other}
    assert differing <= {"aten::sum.dim_IntList partial results", "aten::sum.dim_IntList semaphores"}
    back = on_the_line(low, 3, high, 60, 4)
    assert back is not None
    assert (back.ops, back.events) == (low.ops, low.events)


def test_traces_with_other_requests_give_none() -> None:
    config = tiny()
    with Bench(setup_of(config)) as bench:
        one = bench.trace(config, steps=2)
        other = bench.trace(changed(config, "train.optimizer", "sgd"), steps=2)
    assert on_the_line(one, 3, other, 4, 5) is None


def test_the_curve_keeps_the_peak_and_its_order() -> None:
    trace = trace_once(setup_of(tiny()), steps=2)
    found = replayed(trace)
    points = curve(trace, found, tuple(Category))
    assert [point.event for point in points] == sorted({point.event for point in points})
    assert found.peak_event in {point.event for point in points}
    assert all(sum(point.sizes) == found.allocated[point.event - 1] for point in points)


def test_a_folder_that_is_not_there_is_refused_although_the_preset_has_a_shape() -> None:
    with pytest.raises(LlmError, match=r"llm\.path=/nowhere: not there. Allowed: a folder"):
        architecture(tiny("llm.path=/nowhere"))


def test_the_longest_batch_is_what_the_model_is_given() -> None:
    config = tiny()
    batch = longest_batch(config, 120)
    assert batch.input_ids.shape == (3, 128)
    assert batch.attention_mask.sum(dim=1).tolist() == [128, 127, 127]
    assert len(batch.placeholder_items) == 3 * placeholders(config)
    assert bool((batch.attention_mask[batch.label_rows, batch.label_cols + 1] == 1).all())
    assert int(batch.label_cols.min()) >= 0


def test_no_change_is_what_is_configured_already() -> None:
    config = tiny("train.gradient_checkpointing=true", "train.optimizer=sgd", "train.precision=fp32")
    typed = [change.typed for change in changes(config, find_gpu("h100"))]
    assert "train.gradient_checkpointing=false" in typed
    assert not [text for text in typed if text.startswith("train.optimizer")]
    assert "train.precision=bf16" in typed
    assert len(typed) == len(set(typed))
    for text in typed:
        load_config([*TINY, "train.gradient_checkpointing=true", text])


@pytest.mark.slow
def test_an_estimate_holds_its_laws_and_survives_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "")
    specs = tuple(map(find_gpu, ("h100", "a100-80gb", "t4")))
    known: list[Estimate] = []
    question = Question(config=tiny(), specs=specs, torch_version="", more=True, begin=0.0)
    before = Before(config=question.config, spec=specs[0], torch_version="", environ=environment())
    with begun(before) as wait:
        found = estimate(question, wait, known.append)
    assert len(known) == 1
    assert known[0].peak == found.peak
    assert known[0].knobs == ()
    assert found.torch == torch.__version__.partition("+")[0]
    assert [card.gpu for card in found.cards] == ["h100", "a100-80gb", "t4"]
    assert isinstance(found.largest_batch_that_fits, int)
    assert not [knob for knob in found.knobs if isinstance(knob.peak_reserved_bytes, Unavailable)]


def run_process(*arguments: str) -> tuple[int, dict[str, Any], str]:
    argv = [sys.executable, "-P", "-m", "probes.estimate", *arguments]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    environ.pop("ILORA_DIAG_RESULT_FD", None)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, env=environ, check=False)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_process_answers_one_document() -> None:
    code, document, _ = run_process("--gpu=l4", "--no-knobs", "--memory", str(2 << 30), "--", *TINY)
    assert code == 0
    found = from_json(Estimate, json.dumps(document))
    assert found.gpu == "l4"
    assert found.cards[0].memory_bytes == 2 << 30


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--gpu=h1oo", "--", "llm=tiny"), "h100"),
        (("--gpu=h100", "--", "train.batch_size=0"), "train.batch_size=0"),
        (("--gpu=h100", "--", "llm.arch.model_type=llamma"), "llamma"),
        (("--gpu=h100", "--torch=banana", "--", "llm=tiny"), "banana"),
        (("--gpu=h100", "--", *TINY, "data.max_seq_len=2000"), "data.max_seq_len=2000"),
    ],
)
def test_a_mistake_is_named_and_is_no_crash(arguments: tuple[str, ...], named: str) -> None:
    code, document, _ = run_process(*arguments)
    assert (code, document["status"]) == (2, "usage")
    assert named in document["message"]
