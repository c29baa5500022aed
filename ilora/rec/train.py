"""Training a recommender: cross-entropy over the whole catalogue, early stopping on the validation split."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ilora.config.tree import RecConfig
from ilora.data.records import SequenceData, Sequences
from ilora.data.sampling import CandidateSampler
from ilora.metrics import hr_at_k
from ilora.rec.base import Recommender
from ilora.rec.build import build_recommender
from ilora.rec.evaluate import candidate_ranks

NUM_CANDIDATES = 20
NUM_CANDIDATE_SETS = 5
"""Validation averages over so many candidate sets, the same every epoch: one set makes HR@1 noisy by 0.01 to 0.04."""
HELD_OUT_SHARE = 0.1
MULTIPLICATIONS_PER_THREAD = 100_000_000
"""What a CPU thread should find to do in one step. Steps on ml-100k take milliseconds, in dozens of operations after
each of which threads meet: on a two-core machine with other work an epoch took 7 s on one thread and 40 s on two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """One pass over the training split.

    Attributes:
        epoch: counted from 1.
        loss: mean cross-entropy per row, in nats.
        val_hr1: HR@1 among candidates on the validation split, after the pass.
        seconds: wall time of the pass and its validation.
    """

    epoch: int
    loss: float
    val_hr1: float
    seconds: float


def train_recommender(
    data: SequenceData,
    cfg: RecConfig,
    *,
    device: torch.device | str,
    on_epoch: Callable[[EpochResult], None],
    on_note: Callable[[str], None] = lambda note: None,
    first_batches: int | None = None,
    candidate_sets: int = NUM_CANDIDATE_SETS,
) -> Recommender:
    """Train `cfg.arch` on `data.train` with Adam until validation HR@1 has not risen for `cfg.patience` epochs.

    Seeded by `cfg.seed`, whatever the global generators hold, which are left as they were. The same seed gives the
    same weights on the same device and number of threads.

    Args:
        data: without a validation split, the last tenth of the training rows serves as one (said in a note).
        cfg: shape, optimisation, limits.
        device: where to train.
        on_epoch: called after each epoch.
        on_note: called with remarks for the user.
        first_batches: of each pass only so many batches and the last one, for a look at what training takes; None: all.
        candidate_sets: that validation averages over, the same every epoch.

    Returns:
        The recommender with the weights of the best epoch, in eval mode, on the CPU.

    Raises:
        ValueError: no training rows, a catalogue no larger than a history, or a shape the architecture cannot have.
    """
    train, val = _splits(data, on_note)
    device = torch.device(device)
    num_items = data.catalogue.num_items
    sampler = _sampler(val, num_items, cfg.seed)
    with _seeded(cfg.seed, device), _threads_for(cfg.batch_size * cfg.hidden_size * num_items):
        rec = build_recommender(cfg, num_items, train.max_history).to(device)
        optimizer = torch.optim.Adam(rec.parameters(), lr=cfg.lr, weight_decay=cfg.weight_decay, fused=True)
        rows = _Rows(train, cfg, device, first_batches)
        best_hr1, best_epoch, best = -1.0, 0, _snapshot(rec)
        for epoch in range(1, cfg.max_epochs + 1):
            begin = time.perf_counter()
            loss = _train_epoch(rec, optimizer, rows)
            hr1 = _validate(rec, val, sampler, candidate_sets)
            on_epoch(EpochResult(epoch=epoch, loss=loss, val_hr1=hr1, seconds=time.perf_counter() - begin))
            if hr1 > best_hr1:
                best_hr1, best_epoch, best = hr1, epoch, _snapshot(rec)
            elif epoch - best_epoch >= cfg.patience:
                break
    rec = rec.cpu().eval()
    rec.load_state_dict(best)
    return rec


class _Rows:
    """The training rows on the device, in batches of a new order each epoch."""

    def __init__(self, train: Sequences, cfg: RecConfig, device: torch.device, first_batches: int | None) -> None:
        self.columns = [torch.from_numpy(column).to(device) for column in (train.history, train.lengths, train.targets)]
        self.batch_size, self.first_batches = cfg.batch_size, first_batches
        self.generator = torch.Generator().manual_seed(cfg.seed)

    def __len__(self) -> int:
        return len(self.columns[-1])

    def __iter__(self) -> Iterator[list[Tensor]]:
        order = torch.randperm(len(self), generator=self.generator).to(self.columns[-1].device)
        batches = torch.split(order, self.batch_size)
        if self.first_batches is not None and len(batches) > self.first_batches:
            batches = (*batches[: self.first_batches], batches[-1])
        for index in batches:
            yield [column[index] for column in self.columns]


def _train_epoch(rec: Recommender, optimizer: torch.optim.Optimizer, rows: _Rows) -> float:
    rec.train()
    # Summed on the device: asking for each step's loss would stall it.
    total = torch.zeros((), device=rows.columns[-1].device)
    for history, lengths, targets in rows:
        loss = F.cross_entropy(rec(history, lengths), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach() * len(targets)
    return float(total) / len(rows)


def _validate(rec: Recommender, val: Sequences, sampler: CandidateSampler, num_sets: int) -> float:
    ranks = [candidate_ranks(rec, val, sampler, epoch=number) for number in range(num_sets)]
    return hr_at_k(np.concatenate(ranks), 1)


def _splits(data: SequenceData, on_note: Callable[[str], None]) -> tuple[Sequences, Sequences]:
    train, val = data.train, data.val
    if not len(val) and len(train) > 1:
        num_held_out = max(1, int(len(train) * HELD_OUT_SHARE))
        on_note(f"the data has no validation split: early stopping looks at the last {num_held_out} training rows")
        cut = len(train) - num_held_out
        train, val = train.rows(np.arange(cut)), train.rows(np.arange(cut, len(train)))
    if not len(train) or not len(val):
        raise ValueError(f"a recommender needs training rows and rows to validate on; the data has {len(data.train)}")
    return train, val


def _sampler(val: Sequences, num_items: int, seed: int) -> CandidateSampler:
    num_candidates = min(NUM_CANDIDATES, num_items - int(val.lengths.max()))
    if num_candidates < 2:
        raise ValueError(f"{num_items} items leave nothing to choose from beside histories of {int(val.lengths.max())}")
    return CandidateSampler(val, num_items, num_candidates, seed)


def _snapshot(rec: Recommender) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in rec.state_dict().items()}


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators (initialisation, dropout) and put them back afterwards."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices=devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(seed)
        yield


@contextmanager
def _threads_for(num_multiplications: int) -> Iterator[None]:
    """Give torch no more CPU threads than a step of this size feeds, and the old number back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, num_multiplications // MULTIPLICATIONS_PER_THREAD)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
