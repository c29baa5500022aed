"""Recommenders on a real card: they move there, agree with the CPU, and train to the same weights twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ilora.config.tree import DataConfig, RecConfig
from ilora.data import load_data
from ilora.rec import ARCHITECTURES, train_recommender

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device (CUDA build {torch.version.cuda})")


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_a_recommender_moves_without_patching_and_agrees_with_the_cpu(arch: str) -> None:
    torch.manual_seed(0)
    rec = ARCHITECTURES[arch](50, 64, 10, 0.1).eval()
    history, lengths = torch.randint(0, 50, (32, 10)), torch.randint(1, 11, (32,))
    expected = rec(history, lengths)

    found = rec.to("cuda")(history.cuda(), lengths.cuda())

    torch.testing.assert_close(found.cpu(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_training_twice_gives_the_same_weights(arch: str, tmp_path: object) -> None:
    data = load_data(DataConfig(source="synthetic", cache_dir=str(tmp_path)), compat="fixed")
    state = torch.cuda.get_rng_state()

    first, second = (
        train_recommender(data, RecConfig(arch=arch, max_epochs=2), device="cuda", on_epoch=lambda result: None)
        for _ in range(2)
    )

    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert {value.device.type for value in first.parameters()} == {"cpu"}
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), two.detach().numpy())
