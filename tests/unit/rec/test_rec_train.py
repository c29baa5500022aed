"""Training recommenders on sequences with a rule to find, and ranking with them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ilora.config.tree import RecConfig
from ilora.data.records import Catalogue, Manifest, RowCounts, SequenceData, Sequences
from ilora.data.sampling import CandidateSampler
from ilora.rec import GRU, EpochResult, Recommender, SASRec, ranking_metrics, train_recommender
from ilora.rec.evaluate import candidate_ranks, catalogue_ranks

NUM_ITEMS, WIDTH = 40, 5
CFG = RecConfig(hidden_size=16, batch_size=64, lr=1e-2, max_epochs=12, patience=4, weight_decay=0.0)


def ring(num_rows: int, seed: int) -> Sequences:
    """Rows that walk around a ring of items: the next item is the last one plus one."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, WIDTH + 1, num_rows)
    start = random.integers(0, NUM_ITEMS, num_rows)
    history = (start[:, None] + np.arange(WIDTH)) % NUM_ITEMS
    history[np.arange(WIDTH) >= lengths[:, None]] = NUM_ITEMS
    return Sequences(history, lengths, (start + lengths) % NUM_ITEMS, np.arange(num_rows))


def make_data(num_train: int = 600, num_val: int = 80) -> SequenceData:
    splits = {"train": ring(num_train, 1), "val": ring(num_val, 2) if num_val else Sequences.empty(WIDTH)}
    manifest = Manifest(
        source="ring",
        licence="none",
        files=(),
        num_users=num_train,
        num_items=NUM_ITEMS,
        num_interactions=0,
        num_rows=RowCounts(num_train, num_val, 50),
        num_bad_rows=0,
        bad_rows=(),
        notes=(),
    )
    titles = tuple(f"item {number}" for number in range(NUM_ITEMS))
    return SequenceData(Catalogue(titles), **splits, test=ring(50, 3), manifest=manifest)


def train(data: SequenceData, cfg: RecConfig) -> tuple[Recommender, list[EpochResult], list[str]]:
    epochs: list[EpochResult] = []
    notes: list[str] = []
    rec = train_recommender(data, cfg, device="cpu", on_epoch=epochs.append, on_note=notes.append)
    return rec, epochs, notes


@pytest.mark.parametrize("arch", ["sasrec", "gru", "caser"])
def test_every_architecture_finds_the_rule(arch: str) -> None:
    data = make_data()

    rec, epochs, _ = train(data, dataclasses.replace(CFG, arch=arch, max_epochs=25))

    assert rec.arch == arch
    assert not rec.training
    assert epochs[-1].loss < epochs[0].loss / 2
    metrics = {metric.name: metric for metric in ranking_metrics(rec, data.test, sampler_of(data.test), top_k=3)}
    assert metrics["candidates_hr@1"].value > 0.8  # chance is 0.1
    assert metrics["catalogue_hr@3"].value > 0.8


def sampler_of(sequences: Sequences) -> CandidateSampler:
    return CandidateSampler(sequences, NUM_ITEMS, 10, seed=5)


def test_the_same_seed_gives_the_same_weights_whatever_the_generators_hold() -> None:
    data, cfg = make_data(num_train=150), dataclasses.replace(CFG, max_epochs=2)
    torch.manual_seed(1)
    first, first_epochs, _ = train(data, cfg)
    torch.manual_seed(2)
    state = torch.get_rng_state()

    second, second_epochs, _ = train(data, cfg)

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert [epoch.loss for epoch in first_epochs] == [epoch.loss for epoch in second_epochs]


def test_another_seed_gives_other_weights() -> None:
    data, cfg = make_data(num_train=150), dataclasses.replace(CFG, max_epochs=1)

    one, two = (train(data, dataclasses.replace(cfg, seed=seed))[0] for seed in (1, 2))

    assert not torch.equal(one.item_embeddings.weight, two.item_embeddings.weight)


def test_training_stops_when_patience_ends_and_returns_the_best_epoch() -> None:
    data = make_data(num_train=150)
    # A learning rate this high destroys what was learnt, so the last epoch is not the best one.
    cfg = dataclasses.replace(CFG, arch="gru", lr=0.3, max_epochs=40, patience=3)

    rec, epochs, _ = train(data, cfg)

    shares = [epoch.val_hr1 for epoch in epochs]
    best = max(range(len(shares)), key=lambda index: shares[index])  # the first of equals
    assert len(epochs) == best + 1 + 3 < 40
    again, _, _ = train(data, dataclasses.replace(cfg, max_epochs=best + 1))
    assert all(torch.equal(a, b) for a, b in zip(rec.parameters(), again.parameters(), strict=True))


def test_epochs_are_numbered_from_one_and_timed() -> None:
    _, epochs, _ = train(make_data(num_train=64), dataclasses.replace(CFG, max_epochs=2))

    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert all(epoch.seconds > 0 for epoch in epochs)


def test_without_a_validation_split_the_last_tenth_is_held_out_and_said() -> None:
    data = make_data(num_train=200, num_val=0)

    rec, _, notes = train(data, dataclasses.replace(CFG, max_epochs=1))

    assert len(notes) == 1
    assert "no validation split" in notes[0]
    assert "last 20 training rows" in notes[0]
    explicit = dataclasses.replace(
        data, train=data.train.rows(np.arange(180)), val=data.train.rows(np.arange(180, 200))
    )
    same, _, no_notes = train(explicit, dataclasses.replace(CFG, max_epochs=1))
    assert no_notes == []
    assert all(torch.equal(a, b) for a, b in zip(rec.parameters(), same.parameters(), strict=True))


def test_a_batch_larger_than_the_data_is_one_batch() -> None:
    _, epochs, _ = train(make_data(num_train=30), dataclasses.replace(CFG, max_epochs=1, batch_size=4096))

    assert np.isfinite(epochs[0].loss)


@pytest.mark.parametrize("num_train", [0, 1])
def test_too_few_rows_are_refused(num_train: int) -> None:
    with pytest.raises(ValueError, match=f"the data has {num_train}"):
        train(make_data(num_train=num_train, num_val=0), CFG)


class Favourites(GRU):
    """Scores every item by its id, and one item above all."""

    def __init__(self, favourite: int) -> None:
        super().__init__(NUM_ITEMS, hidden_size=4, max_history=WIDTH)
        self.favourite = favourite

    def forward(self, history: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        scores = torch.arange(NUM_ITEMS, dtype=torch.float32)
        scores[self.favourite] = 100.0
        return scores.expand(len(history), -1)


def rows(history: list[list[int]], targets: list[int]) -> Sequences:
    width = max(len(row) for row in history)
    padded = np.array([row + [NUM_ITEMS] * (width - len(row)) for row in history])
    lengths = np.array([len(row) for row in history])
    return Sequences(padded, lengths, np.array(targets), np.arange(len(targets)))


def test_catalogue_ranks_leave_the_history_out() -> None:
    # Item 39 has the highest score, then 38, and so on; item 7 stands above all.
    sequences = rows([[1], [39, 38], [7, 39], [7, 36]], [37, 37, 37, 7])

    ranks = catalogue_ranks(Favourites(7), sequences)

    # 7, 39, 38 before 37; only 7; only 38; a target in its own history keeps its score.
    assert ranks.tolist() == [3, 1, 1, 0]


def test_metrics_count_what_they_say() -> None:
    sequences = rows([[1], [2], [3], [4]], [7, 39, 5, 30])
    sampler = CandidateSampler(sequences, NUM_ITEMS, 2, seed=0)

    hr1, hrk, ndcg = ranking_metrics(Favourites(7), sequences, sampler, top_k=2)

    assert (hrk.name, hrk.value, hrk.num_correct, hrk.num_samples) == ("catalogue_hr@2", 0.5, 2, 4)
    assert (ndcg.name, ndcg.num_correct) == ("catalogue_ndcg@2", None)
    assert ndcg.value == pytest.approx((1.0 + 1 / np.log2(3)) / 4)
    chosen = sampler.sample(np.arange(4), 0).items
    expected = sum(
        int(max(row, key=lambda item: (item == 7, item)) == target)
        for row, target in zip(chosen.tolist(), sequences.targets.tolist(), strict=True)
    )
    assert (hr1.name, hr1.num_correct, hr1.num_samples) == ("candidates_hr@1", expected, 4)


def test_evaluation_restores_the_mode_and_is_not_touched_by_dropout() -> None:
    rec = SASRec(NUM_ITEMS, hidden_size=8, max_history=WIDTH, dropout=0.5).train()
    sequences = ring(30, 4)

    first = candidate_ranks(rec, sequences, sampler_of(sequences))

    assert rec.training
    assert np.array_equal(first, candidate_ranks(rec, sequences, sampler_of(sequences)))


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="no rows"):
        ranking_metrics(Favourites(1), Sequences.empty(WIDTH), sampler_of(ring(2, 1)))


def test_candidates_without_the_target_have_no_rank() -> None:
    sequences = ring(5, 1)
    sampler = CandidateSampler(sequences, NUM_ITEMS, 10, 0, "reference", reference_lastfm=True)

    with pytest.raises(ValueError, match="leave the target out"):
        candidate_ranks(Favourites(1), sequences, sampler)


def test_small_steps_use_one_thread_and_the_old_number_returns() -> None:
    torch.set_num_threads(2)
    seen: list[int] = []

    train_recommender(
        make_data(num_train=64),
        dataclasses.replace(CFG, max_epochs=1),
        device="cpu",
        on_epoch=lambda result: seen.append(torch.get_num_threads()),
    )

    assert seen == [1]
    assert torch.get_num_threads() == 2


def test_a_look_at_the_training_takes_the_first_batches_of_a_pass_and_the_last() -> None:
    steps: list[int] = []
    handle = register_optimizer_step_post_hook(lambda *call: steps.append(1))
    try:
        cfg = dataclasses.replace(CFG, max_epochs=2)
        train_recommender(make_data(), cfg, device="cpu", on_epoch=lambda epoch: None, first_batches=3)
    finally:
        handle.remove()
    assert len(steps) == 8
