"""Our own trainer on the virtual card: the MoE-LoRA teacher, both heads, the plain loop and Lightning's."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora.assemble import build_teacher, obtain_llm
from ilora.config import Config, load_config
from ilora.data import load_data
from ilora.data.records import SequenceData
from ilora.device import Placement, place
from ilora.feed import Feed
from ilora.loops import lightning, plain
from ilora.loops.job import StopFlag, TrainJob
from ilora.ranks import Rank
from ilora.rec import build_recommender
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer
from ilora_diag.schema import Category
from probes.virtual import Machine


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache_dir: Path) -> SequenceData:
    config = load_config([f"data.cache_dir={cache_dir}"], file="tiny")
    return load_data(config.data, compat=config.compat)


@pytest.fixture
def configure(cache_dir: Path) -> Callable[..., Config]:
    def make(*overrides: str) -> Config:
        common = ["data.max_seq_len=400", f"data.cache_dir={cache_dir}", "train.max_steps=3", "train.eval_every=2"]
        return load_config([*common, "train.eval_batches=2", *overrides], file="tiny")

    return make


@pytest.fixture
def run(data: SequenceData, tmp_path: Path) -> Callable[..., tuple[TrainJob, list[dict[str, Any]]]]:
    def train(loop: Any, config: Config, placement: Placement) -> tuple[TrainJob, list[dict[str, Any]]]:
        recommender = build_recommender(config.rec, data.catalogue.num_items, data.train.max_history).eval()
        loaded = obtain_llm(config, data, placement)
        teacher = build_teacher(config, recommender, loaded, placement)
        feed = Feed(config, data, loaded.tokenizer, Rank(index=0, world_size=1))
        path = tmp_path / "log.jsonl"
        log = RunLog(path, placement.device)
        job = TrainJob(
            teacher=teacher,
            optimizer=make_optimizer(teacher.trainable_groups(), config.train),
            config=config.train,
            train_batches=lambda: feed.training(0),
            val_batches=feed.validation,
            device=placement.device,
            log=log,
            start_step=0,
            save=lambda step: None,
            stop=StopFlag(),
        )
        loop.run(job)
        log.close()
        return job, [json.loads(line) for line in path.read_text().splitlines()]

    return train


@pytest.mark.parametrize(
    ("loop", "head", "precision"),
    [
        pytest.param(plain, "lm", "fp32", id="plain lm fp32"),
        pytest.param(lightning, "lm", "bf16", id="lightning lm bf16"),
        pytest.param(plain, "items", "bf16", id="plain items bf16"),
        pytest.param(lightning, "items", "fp32", id="lightning items fp32"),
    ],
)
def test_the_trainer_runs_unchanged(
    card: Machine, configure: Callable[..., Config], run: Any, loop: Any, head: str, precision: str
) -> None:
    config = configure(f"model.head={head}", f"train.precision={precision}", "train.gradient_accumulation_steps=2")
    placement = place(config.train, "auto")
    assert placement.device.type == "cuda"
    job, events = run(loop, config, placement)
    # Lightning brings the model back to the host at the end; the evaluation that follows belongs on the card.
    assert {parameter.device for parameter in job.teacher.parameters()} == {torch.device("cuda:0")}
    steps = [event for event in events if event["event"] == "step"]
    assert len(steps) == 3
    assert sum(event["event"] == "val_loss" for event in events) == 1
    assert steps[-1]["device"]["peak_allocated_bytes"] == card.cards[0].allocator.peak_allocated_bytes > 0
    phases = set(card.ledger.phases[1:])
    assert {"load", "forward", "backward", "optimizer", "validation"} <= phases
    trainable = sum(parameter.nbytes for parameter in job.teacher.parameters() if parameter.requires_grad)
    states = [n for n, kind in card.ledger.fixed.items() if kind is Category.OPTIMIZER_STATE]
    assert sum(card.ledger.sizes[n] for n in states) == 2 * trainable
    del job
    gc.collect()
    left = {card.ledger.category(n) for n in range(1, len(card.ledger.sizes)) if card.ledger.freed_in[n] is None}
    assert left <= {Category.WORKSPACE}


def test_both_loops_take_as_much_of_the_card(configure: Callable[..., Config], run: Any) -> None:
    from probes.virtual import virtual_cuda

    peaks = {}
    for loop in (plain, lightning):
        with virtual_cuda("h100", environ={}) as machine:
            config = configure()
            run(loop, config, place(config.train, "auto"))
            gc.collect()
            peaks[loop.__name__] = machine.cards[0].allocator.peak_allocated_bytes
    assert abs(peaks[plain.__name__] - peaks[lightning.__name__]) <= 2048, peaks  # Lightning keeps a loss or two
