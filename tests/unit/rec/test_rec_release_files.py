"""The published checkpoints, where they are at hand: all load, and rank as well as their authors' formula does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ilora.config.tree import DataConfig
from ilora.data import SequenceData, load_data
from ilora.data.sampling import CandidateSampler
from ilora.metrics import hr_at_k
from ilora.rec import load_recommender
from ilora.rec.evaluate import candidate_ranks

pytestmark = pytest.mark.data

FILES = {
    "lastfm.pt": ("sasrec", 4606),
    "movielens.pt": ("sasrec", 1682),
    "steam.pt": ("sasrec", 3581),
    "SASRec_goodreads.pt": ("sasrec", 4550),
    "GRU_movielens.pt": ("gru", 1682),
    "Caser_movielens.pt": ("caser", 1682),
}


@pytest.mark.parametrize(("name", "arch", "num_items"), [(name, *facts) for name, facts in FILES.items()])
def test_every_released_file_loads_on_a_machine_without_its_classes(
    shared_data: Path, name: str, arch: str, num_items: int
) -> None:
    rec = load_recommender(shared_data / "rec_model" / name)

    assert (rec.arch, rec.num_items, rec.hidden_size, rec.max_history) == (arch, num_items, 64, 10)
    assert not rec.training
    assert {(value.dtype, value.device.type) for value in rec.parameters()} == {(torch.float32, "cpu")}
    generator = torch.Generator().manual_seed(0)
    history = torch.randint(0, num_items, (50, 10), generator=generator)
    with torch.no_grad():
        users = rec.encode_users(history, torch.randint(1, 11, (50,), generator=generator))
    assert users.isfinite().all()


@pytest.fixture(scope="module")
def data_sets(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, SequenceData]:
    cache = str(tmp_path_factory.mktemp("cache"))
    return {
        name: load_data(DataConfig(source="ilora", path=str(shared_data / name), cache_dir=cache), compat="fixed")
        for name in ("lastfm", "movielens")
    }


# Measured for the project's facts with the published formula: mean of 20 resampled sets of 20 candidates.
@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("lastfm", "val", 0.260),
        ("lastfm", "test", 0.286),
        ("movielens", "val", 0.416),
        ("movielens", "test", 0.374),
    ],
)
def test_published_weights_reach_the_known_hit_ratio(
    shared_data: Path, data_sets: dict[str, SequenceData], name: str, split: str, expected: float
) -> None:
    data = data_sets[name]
    rec = load_recommender(shared_data / "rec_model" / f"{name}.pt")
    sequences = getattr(data, split)
    sampler = CandidateSampler(sequences, data.catalogue.num_items, 20, seed=1234)

    hr1 = np.mean([hr_at_k(candidate_ranks(rec, sequences, sampler, epoch=epoch), 1) for epoch in range(20)])

    assert abs(float(hr1) - expected) <= 0.05
