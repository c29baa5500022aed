"""Which of the run's processes this one is, whoever started it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ilora.config import ConfigError, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """Position of this process among `world_size`."""

    index: int
    world_size: int

    @property
    def is_first(self) -> bool:
        """Whether this process writes the log, checkpoints and reports."""
        return self.index == 0


def current_rank(config: TrainConfig, environ: Mapping[str, str] = os.environ) -> Rank:
    """Read the rank that torchrun, SLURM or Lightning's launcher gave this process.

    Lightning starts the other ranks of a node itself when nobody else did; in the process that starts them no variable
    is set, and it is the node's first.

    Raises:
        ConfigError: the launcher started another number of processes than the configuration says.
    """
    world_size = config.devices * config.num_nodes
    started = _number(environ, "WORLD_SIZE") or _number(environ, "SLURM_NTASKS") or world_size
    if started != world_size and (world_size > 1 or "RANK" in environ):
        raise ConfigError(
            "train.devices", config.devices, f"devices x num_nodes = {started}, the number of processes started",
            "Type train.devices=PROCESSES_PER_NODE train.num_nodes=NODES",
        )  # fmt: skip
    if world_size == 1:
        return Rank(index=0, world_size=1)
    index = _number(environ, "RANK")
    if index is None:
        index = _number(environ, "SLURM_PROCID")
    if index is None:
        node, local = _number(environ, "NODE_RANK") or 0, _number(environ, "LOCAL_RANK") or 0
        index = node * config.devices + local
    return Rank(index=index, world_size=world_size)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdigit() else None
