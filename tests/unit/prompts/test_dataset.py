"""Samples and loaders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch

from ilora.data.batch import Batch
from ilora.data.collate import PromptCollator
from ilora.data.dataset import PromptDataset, make_loader
from ilora.data.plan import BatchPlan, SampleKey


def same(first: Batch, second: Batch) -> bool:
    pairs = [(getattr(first, field.name), getattr(second, field.name)) for field in fields(Batch)]
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


def plan(dataset: PromptDataset, **changes: int) -> BatchPlan:
    return BatchPlan(num_rows=len(dataset), batch_size=4, num_batches=8, seed=2, **changes)


def test_a_sample_depends_on_its_key_alone(dataset: PromptDataset) -> None:
    keys = [SampleKey(3, 0, True), SampleKey(9, 1, True), SampleKey(3, 1, True), SampleKey(20, 0, True)]
    together = dataset.__getitems__(keys)
    assert together == [dataset[key] for key in keys]
    assert [(sample.row, sample.epoch) for sample in together] == [(key.row, key.epoch) for key in keys]


def test_a_sample_holds_its_row(dataset: PromptDataset) -> None:
    for row in range(len(dataset)):
        sample = dataset[SampleKey(row, 0, False)]
        data = dataset.sequences
        assert list(sample.history) == data.history[row, : data.lengths[row]].tolist()
        assert sample.target == data.targets[row] == sample.candidates[sample.target_index]
        assert not {*sample.history} & {*sample.candidates}
        assert not sample.hybrid


def test_candidates_change_with_the_epoch(dataset: PromptDataset) -> None:
    assert dataset[SampleKey(0, 0, True)].candidates != dataset[SampleKey(0, 1, True)].candidates


@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_make_the_batches_the_trainer_would_make_itself(
    num_workers: int, dataset: PromptDataset, collator: Callable[..., PromptCollator]
) -> None:
    batch_plan, collate = plan(dataset, start=1), collator()
    expected = [collate(dataset.__getitems__(batch_plan.micro_batch(index).keys())) for index in range(1, 8)]
    loader = make_loader(dataset, batch_plan, collate, num_workers=num_workers)
    made = list(loader)
    assert len(loader) == len(made) == 7
    assert all(same(one, other) for one, other in zip(made, expected, strict=True))
    assert any(batch.hybrid for batch in made)
    assert not all(batch.hybrid for batch in made)


def test_loading_leaves_the_global_generator_alone(
    dataset: PromptDataset, collator: Callable[..., PromptCollator]
) -> None:
    before = torch.get_rng_state()
    list(make_loader(dataset, plan(dataset), collator()))
    assert torch.equal(torch.get_rng_state(), before)
