"""Whoever starts the processes, each finds its place."""

from __future__ import annotations

import pytest

from ilora.config import ConfigError, TrainConfig
from ilora.ranks import current_rank

TWO = TrainConfig(loop="lightning", devices=2)
FOUR = TrainConfig(loop="lightning", devices=2, num_nodes=2)


@pytest.mark.parametrize(
    ("config", "environ", "index", "world"),
    [
        (TrainConfig(), {}, 0, 1),
        (TrainConfig(), {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, 0, 1),
        (TWO, {}, 0, 2),
        (TWO, {"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, 1, 2),
        (TWO, {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, 1, 2),
        (FOUR, {"NODE_RANK": "1", "LOCAL_RANK": "1"}, 3, 4),
        (FOUR, {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, 2, 4),
    ],
)
def test_the_rank_is_found(config: TrainConfig, environ: dict[str, str], index: int, world: int) -> None:
    rank = current_rank(config, environ)
    assert (rank.index, rank.world_size, rank.is_first) == (index, world, index == 0)


def test_a_launcher_that_disagrees_with_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="3, the number of processes started"):
        current_rank(TWO, {"RANK": "0", "WORLD_SIZE": "3"})
