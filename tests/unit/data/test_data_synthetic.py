"""Generated data: the same for the same seed, and with something to learn in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ilora.data import SequenceData
from ilora.data.readers.synthetic import ITEMS_PER_CLUSTER, STEP_PROBABILITIES

Load = Callable[..., SequenceData]


def test_a_seed_gives_the_same_data_and_another_seed_other_data(load: Load) -> None:
    assert load("synthetic") == load("synthetic")
    assert load("synthetic").train != load("synthetic", seed=1).train


def test_sizes_are_those_asked_for(load: Load) -> None:
    data = load("synthetic", num_users=37, num_items=300)

    assert data.manifest.num_users == 37
    assert data.manifest.num_items == data.catalogue.num_items == len(set(data.catalogue.titles)) == 300
    assert len(data.test) == len(data.val) == 37
    assert data.manifest.files == ()


def test_what_follows_can_be_predicted_from_the_last_choice(load: Load) -> None:
    train = load("synthetic", num_users=1000).train

    last = train.history[np.arange(len(train)), train.lengths - 1]
    begin = last // ITEMS_PER_CLUSTER * ITEMS_PER_CLUSTER
    following = begin + (last - begin + 1) % ITEMS_PER_CLUSTER
    share = np.mean(train.targets == following)

    # below the bare probability only where the following item had been chosen before
    assert STEP_PROBABILITIES[0] - 0.25 < share < STEP_PROBABILITIES[0] + 0.05


def test_titles_say_which_cluster_an_item_is_of(load: Load) -> None:
    titles = load("synthetic").catalogue.titles

    words = {title.split()[1] for title in titles[:ITEMS_PER_CLUSTER]}
    assert len(words) == 1
    assert titles[ITEMS_PER_CLUSTER].split()[1] not in words


@pytest.mark.parametrize("num_items", [8, 9, 500])
def test_small_and_large_catalogues_work(load: Load, num_items: int) -> None:
    data = load("synthetic", num_items=num_items, num_users=4, max_history=4)

    assert len(data.test) == 4
