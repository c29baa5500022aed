"""A recommender learns real data well within a minute."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ilora.config.tree import DataConfig, RecConfig
from ilora.data import load_data
from ilora.data.sampling import CandidateSampler
from ilora.metrics import wilson_interval
from ilora.rec import ranking_metrics, train_recommender


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("recbole") is None, reason="ml-100k comes with the RecBole wheel")
def test_two_epochs_of_ml_100k_beat_chance_by_far(tmp_path: Path) -> None:
    data = load_data(DataConfig(source="ml-100k", cache_dir=str(tmp_path)), compat="fixed")

    rec = train_recommender(data, RecConfig(max_epochs=2), device="cpu", on_epoch=lambda result: None)

    sampler = CandidateSampler(data.test, data.catalogue.num_items, 20, seed=1234)
    hr1 = ranking_metrics(rec, data.test, sampler)[0]
    assert hr1.num_correct is not None
    low, _ = wilson_interval(hr1.num_correct, hr1.num_samples)
    assert low > 4 * 0.05  # chance among 20 candidates is 0.05
