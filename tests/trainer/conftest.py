"""A whole tiny run's parts, built once a test session in well under a second."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ilora.assemble import build_teacher, obtain_llm
from ilora.config import Config, load_config
from ilora.data import load_data
from ilora.data.records import SequenceData
from ilora.device import Placement
from ilora.feed import Feed
from ilora.llm import LoadedLlm
from ilora.loops.job import StopFlag, TrainJob
from ilora.model import ILoRATeacher
from ilora.ranks import Rank
from ilora.rec import Recommender, build_recommender
from ilora.runlog import RunLog
from ilora.schedule import make_optimizer

CPU = Placement(device=torch.device("cpu"), precision="fp32")
ALONE = Rank(index=0, world_size=1)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Results must not depend on how many cores a test machine has, and tests run side by side."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def configure(cache_dir: Path) -> Callable[..., Config]:
    def make(*overrides: str) -> Config:
        return load_config(
            ["lora.dropout=0", "data.max_seq_len=400", f"data.cache_dir={cache_dir}", *overrides], file="tiny"
        )

    return make


@pytest.fixture(scope="session")
def data(cache_dir: Path) -> SequenceData:
    config = load_config([f"data.cache_dir={cache_dir}"], file="tiny")
    return load_data(config.data, compat=config.compat)


@pytest.fixture(scope="session")
def _llms() -> dict[str, LoadedLlm]:
    return {}


@pytest.fixture
def recommender(data: SequenceData) -> Recommender:
    torch.manual_seed(3)
    return build_recommender(load_config(file="tiny").rec, data.catalogue.num_items, data.train.max_history).eval()


@pytest.fixture
def make_teacher(
    data: SequenceData, recommender: Recommender, _llms: dict[str, LoadedLlm]
) -> Callable[[Config], ILoRATeacher]:
    """Builds a teacher; lora_B is filled, since at its initial zero the adapters would have no effect to test."""

    def make(config: Config, *, placement: Placement = CPU) -> ILoRATeacher:
        key = config.llm.preset + config.llm.attn_implementation
        if key not in _llms:
            _llms[key] = obtain_llm(config, data, placement)
        loaded = _llms[key]
        fresh = LoadedLlm(copy.deepcopy(loaded.model), loaded.tokenizer, loaded.source)
        teacher = build_teacher(config, copy.deepcopy(recommender), fresh, placement)
        generator = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for name, parameter in teacher.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
        return teacher

    return make


@pytest.fixture
def make_feed(data: SequenceData, _llms: dict[str, LoadedLlm]) -> Callable[..., Feed]:
    def make(config: Config, rank: Rank = ALONE) -> Feed:
        key = config.llm.preset + config.llm.attn_implementation
        if key not in _llms:
            _llms[key] = obtain_llm(config, data, CPU)
        return Feed(config, data, _llms[key].tokenizer, rank)

    return make


@pytest.fixture
def make_job(make_teacher: Callable[[Config], ILoRATeacher], make_feed: Callable[..., Feed]) -> Callable[..., TrainJob]:
    def make(config: Config, log: RunLog, *, start: int = 0, teacher: ILoRATeacher | None = None) -> TrainJob:
        teacher = teacher or make_teacher(config)
        feed = make_feed(config)
        return TrainJob(
            teacher=teacher,
            optimizer=make_optimizer(teacher.trainable_groups(), config.train),
            config=config.train,
            train_batches=lambda: feed.training(start),
            val_batches=feed.validation,
            device=CPU.device,
            log=log,
            start_step=start,
            save=lambda step: None,
            stop=StopFlag(),
        )

    return make
