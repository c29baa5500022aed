"""The recommender's training in front of the teacher's: what one process takes that does both."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace

import pytest

from ilora.config import Config, load_config
from ilora.data import load_data
from ilora.rec import train_recommender
from ilora_diag.hardware.gpus import find_gpu
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import Category
from probes.estimate_ahead import Before, begun
from probes.estimate_before import TRAIN_REC, preceded
from probes.estimate_cards import Ground, without_limit
from probes.estimate_compose import make_setup
from probes.estimate_rec import trace_before
from probes.estimate_refusals import NoEstimateError
from probes.estimate_replay import live_after
from probes.estimate_trace import Bench, Setup

GROUND = Ground(settings=AllocatorSettings(), torch_version="2.13.0")


def configured(*overrides: str) -> Config:
    return load_config(["llm=tiny", "data.source=synthetic", "data.max_seq_len=128", "rec.max_epochs=3", *overrides])


def before_of(config: Config) -> Before:
    return Before(config=config, spec=find_gpu("h100"), torch_version="2.13.0", environ={})


def setup_of(config: Config, gpu: str = "h100") -> Setup:
    return replace(make_setup(config, find_gpu(gpu), "2.13.0"), environ={})


@pytest.mark.parametrize(
    ("gpu", "overrides"),
    [
        ("h100", ("train.batch_size=1", "rec.batch_size=1100", "rec.hidden_size=256", "data.num_items=5000")),
        ("t4", ("rec.arch=caser", "train.precision=fp32")),  # the recommender's trace is of the other card
    ],
)
def test_one_process_that_trains_both_takes_what_the_two_traces_take(gpu: str, overrides: tuple[str, ...]) -> None:
    config = configured(*overrides)
    before, spec = trace_before(before_of(config)), find_gpu(gpu)
    with Bench(replace(setup_of(config, gpu), before=before)) as bench:
        found = without_limit(bench.trace(config, steps=2), spec, GROUND)
    whole = Bench(setup_of(config, gpu), real_card=True)
    with whole.card():
        train_recommender(
            load_data(config.data, compat="fixed"), config.rec, device="cuda", on_epoch=lambda epoch: None
        )
        whole.build()
        whole.run_steps(config, 2)
        allocator = whole.machine.cards[0].allocator
        peaks = allocator.peak_allocated_bytes, allocator.peak_reserved_bytes
    assert (found.peak_allocated_bytes, found.peak_reserved_bytes) == peaks


def test_what_libraries_keep_is_there_once_and_everything_else_is_given_back() -> None:
    config = configured()
    before = trace_before(before_of(config))
    assert before is not None
    with Bench(setup_of(config, "l4")) as bench:
        alone = bench.trace(config, steps=2)
    both = preceded(alone, before)
    assert len({text for text, _ in both.notes}) == len(both.notes), "what both could not know is told once"
    assert sum(count for _, count in both.notes) == sum(count for _, count in (*alone.notes, *before.notes))
    counts = [sum(kind is Category.WORKSPACE for kind in trace.categories) for trace in (before, alone, both)]
    alive = [n for n in live_after(both, len(before.events)) if both.categories[n] is not Category.WORKSPACE]
    assert alive == []
    kept = [n for n in live_after(both, len(both.events)) if both.categories[n] is Category.WORKSPACE]
    asked = [n for n in live_after(alone, len(alone.events)) if alone.categories[n] is Category.WORKSPACE]
    assert counts[0] > 0
    assert sorted(both.sizes[n] for n in kept) == sorted(alone.sizes[n] for n in asked), "of the card, not of the other"
    assert both.marks[:2] == ((0, 0, TRAIN_REC), (len(before.events), 0, "load"))
    assert [mark[1:] for mark in both.marks[1:]] == [mark[1:] for mark in alone.marks]
    for (event, *_), (place, *_) in zip(both.marks[1:], alone.marks, strict=True):
        assert both.ops[abs(both.events[event])] == alone.ops[abs(alone.events[place])]


def test_a_recommender_from_a_file_is_not_trained() -> None:
    config = configured()
    assert trace_before(before_of(configured("rec.checkpoint=trained.safetensors"))) is None
    with Bench(setup_of(config)) as bench:
        trace = bench.trace(config, steps=1)
    assert preceded(trace, None) is trace


def test_another_process_traces_the_same_and_is_gone_when_its_trace_is_there() -> None:
    config = configured()
    with begun(before_of(config)) as wait:
        found = wait()
        assert multiprocessing.active_children() == []
    assert found == trace_before(before_of(config))


def test_a_recommender_that_cannot_be_trained_is_told_when_it_is_waited_for() -> None:
    config = configured("rec.arch=caser")
    config.rec.arch = "unheard of"
    with begun(before_of(config)) as wait, pytest.raises(NoEstimateError, match="unheard of"):
        wait()
