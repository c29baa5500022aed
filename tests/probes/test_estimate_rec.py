"""The estimate of stage=rec: what a few steps on stand-in rows need is what a whole training on the data needs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ilora.config import Config, ConfigError, load_config
from ilora.data import load_data
from ilora.rec import train_recommender
from ilora_diag.hardware.gpus import find_gpu, with_memory
from ilora_diag.memory.settings import AllocatorSettings
from ilora_diag.schema import Category, Estimate, Unavailable, from_json
from probes.estimate_cards import Ground, answer, fits_at_ease, without_limit
from probes.estimate_compose import make_setup
from probes.estimate_parts import take_apart
from probes.estimate_rec import trace_recommender
from probes.estimate_rec_compose import RecTraces, estimate_recommender, make_rec_setup, rec_changes
from probes.estimate_rec_data import row_count
from probes.estimate_record import Question
from probes.virtual import NotCarriedError, virtual_cuda

GROUND = Ground(settings=AllocatorSettings(), torch_version="2.13.0")
H100 = find_gpu("h100")
MIB = 1 << 20


def configured(*overrides: str) -> Config:
    return load_config(["stage=rec", "data.source=synthetic", *overrides])


@pytest.mark.parametrize(
    "overrides",
    [
        ("rec.arch=sasrec",),
        ("rec.arch=caser", "rec.hidden_size=32"),
        ("rec.batch_size=1074", "rec.hidden_size=256", "data.num_items=3000"),  # the last batch decides
        ("rec.arch=caser", "rec.batch_size=900"),
        ("rec.batch_size=700",),  # the last batch of a pass is not full
        ("rec.batch_size=2000",),  # the second is the last
        ("rec.batch_size=4000", "data.max_history=20"),  # all rows at once
    ],
)
def test_a_few_steps_on_stand_in_rows_take_what_a_whole_training_takes(overrides: tuple[str, ...]) -> None:
    config = configured(*overrides, "rec.max_epochs=3")
    found = without_limit(trace_recommender(make_rec_setup(config, H100, "2.13.0"), config), H100, GROUND)
    with virtual_cuda(H100, torch_version="2.13.0", environ={}) as machine:
        data = load_data(config.data, compat="fixed")
        train_recommender(data, config.rec, device="cuda", on_epoch=lambda epoch: None)
        whole = machine.cards[0].allocator
        assert (found.peak_allocated_bytes, found.peak_reserved_bytes) == (
            whole.peak_allocated_bytes,
            whole.peak_reserved_bytes,
        )


def test_rows_are_counted_as_the_split_counts_them() -> None:
    config = configured("data.min_history=5", "data.num_users=60")
    counted, data = row_count(config), load_data(config.data, compat="fixed")
    assert (counted.train, counted.val, counted.assumption) == (len(data.train), len(data.val), "")


@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="ml-100k comes with RecBole's wheel")
@pytest.mark.parametrize("overrides", [(), ("data.min_history=1",), ("data.holdout=2", "data.max_history=5")])
def test_rows_of_ml_100k_are_known_without_reading_it(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    config = load_config(["stage=rec", "data.source=ml-100k", f"data.cache_dir={tmp_path}", *overrides])
    counted, data = row_count(config), load_data(config.data, compat="fixed")
    assert (counted.train, counted.val, counted.assumption) == (len(data.train), len(data.val), "")


def test_rows_that_are_not_known_are_said_to_be_assumed(tmp_path: Path) -> None:
    assert "was not read" in row_count(load_config(["data.source=movielens", "data.path=somewhere"])).assumption
    assert "was not read" in row_count(load_config(["data.source=ml-100k", "data.min_rating=4"])).assumption
    folder = configured("data.source=canonical", f"data.path={tmp_path}")
    assert "was not read" in row_count(folder).assumption
    (tmp_path / "manifest.json").write_text(json.dumps({"manifest": {"num_rows": {"train": 70, "val": 7, "test": 7}}}))
    assert (row_count(folder).train, row_count(folder).assumption) == (70, "")


def test_the_parts_of_the_peak_sum_to_it() -> None:
    config = configured()
    trace = trace_recommender(make_rec_setup(config, H100, "2.13.0"), config)
    found = answer(trace, H100, GROUND)
    parts = take_apart(trace, found, H100)
    total = found.card.peak.allocated_bytes
    for shares in (parts.by_category, parts.by_module, parts.by_op):
        assert sum(share.size_bytes for share in shares) == total
    rows = row_count(config).train
    inputs = sum(share.size_bytes for share in parts.by_category if share.category is Category.INPUT)
    assert inputs >= rows * (config.data.max_history + 2) * 8, "the training split lies on the card"
    validated = [phase.step for phase in parts.by_phase if phase.phase == "validation"]
    assert validated == [3, 6], "after the third step of each pass"
    assert {phase.step for phase in parts.by_phase} == set(range(7))


def test_the_largest_batch_is_an_executed_pair_and_never_more_than_there_are_rows() -> None:
    config = configured("data.num_items=20000")
    traces = RecTraces(make_rec_setup(config, H100, "2.13.0"), config)
    rows = traces.setup.rows.train
    assert traces.largest(H100, GROUND, executed=True) == rows
    need = without_limit(traces.executed(rows // 3), H100, GROUND).peak_reserved_bytes
    small = with_memory(H100, need * 110 // 100)
    small = replace(small, context_bytes=replace(small.context_bytes, low_bytes=0, high_bytes=0))
    found = traces.largest(small, GROUND, executed=True)
    assert isinstance(found, int)
    assert rows // 4 < found < rows
    assert fits_at_ease(without_limit(traces.run[found], small, GROUND), small)
    assert not fits_at_ease(without_limit(traces.run[found + 1], small, GROUND), small)


def test_an_estimate_of_a_recommender_holds_its_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "")
    known: list[Estimate] = []
    specs = tuple(map(find_gpu, ("t4", "h100")))
    question = Question(config=configured(), specs=specs, torch_version="2.13.0", more=True, begin=0.0)
    found = estimate_recommender(question, known.append)
    assert [card.gpu for card in found.cards] == ["t4", "h100"]
    assert known[0].peak == found.peak
    assert not [knob for knob in found.knobs if isinstance(knob.peak_reserved_bytes, Unavailable)]
    assert found.largest_batch_that_fits == row_count(configured()).train


def test_no_change_is_what_is_configured_already() -> None:
    for overrides in ((), ("rec.arch=caser", "data.max_history=5"), ("rec.batch_size=1", "data.max_history=3")):
        typed = [change.typed for change in rec_changes(configured(*overrides))]
        assert typed
        for text in typed:
            assert text not in overrides
            load_config(["stage=rec", "data.source=synthetic", *overrides, text])


def test_what_cannot_be_answered_says_why() -> None:
    gru = configured("rec.arch=gru")
    with pytest.raises(NotCarriedError, match=r"torch\.nn\.GRU"):
        trace_recommender(make_rec_setup(gru, H100, "2.13.0"), gru)
    narrow = configured("rec.arch=caser", "data.max_history=3")
    with pytest.raises(ConfigError, match="at least 4 items"):
        trace_recommender(make_rec_setup(narrow, H100, "2.13.0"), narrow)
    with pytest.raises(ConfigError, match="estimate stage=rec"):
        make_setup(configured(), H100, "2.13.0")
    with pytest.raises(ConfigError, match="trains nothing"):
        make_rec_setup(configured("rec.checkpoint=trained.safetensors"), H100, "2.13.0")


def test_the_process_answers_without_importing_transformers() -> None:
    code = "import sys; from probes.estimate import main; code = main(sys.argv[1:]); assert 'peft' not in sys.modules"
    argv = [sys.executable, "-P", "-c", f"{code} and 'transformers' not in sys.modules; sys.exit(code)"]
    asked = ["--gpu=t4", "--no-knobs", "--memory", str(300 * MIB), "--", "stage=rec", "data.source=synthetic"]
    done = subprocess.run([*argv, *asked], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = from_json(Estimate, done.stdout)
    assert (found.gpu, found.cards[0].memory_bytes, dict(found.settings)["stage"]) == ("t4", 300 * MIB, "rec")
