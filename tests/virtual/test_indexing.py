"""Assignments by a mask: where the card fills, and where it looks for the true places first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from probes.virtual import Machine


def _beyond(write: Callable[[], Any]) -> int:
    """Bytes a statement takes at its peak beyond what was there."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = write()
    peak = torch.cuda.max_memory_allocated()
    del kept
    return peak - before


def _assign(target: torch.Tensor, index: Any, value: Any) -> Callable[[], None]:
    return lambda: target.__setitem__(index, value)


@pytest.mark.parametrize("value", [0, -float("inf"), torch.tensor(1.0), torch.tensor([2.0])])
def test_a_number_is_filled_in_by_the_mask_without_looking_for_places(card: Machine, value: Any) -> None:
    scores, mask = torch.randn(64, 4000, device="cuda"), torch.randn(64, 4000, device="cuda") < 0
    rows, columns = mask[:, 0].clone(), mask[0].clone()
    for index in (mask, rows, (slice(None), columns), (..., columns), (0, columns)):
        assert _beyond(_assign(scores, index, value)) <= 512  # the number itself, at the most
    assert not any("nonzero" in note for note in card.notes.sentences())


def test_places_are_looked_for_where_the_value_is_on_the_card_or_the_mask_is_not_alone(card: Machine) -> None:
    scores, mask = torch.randn(64, 4000, device="cuda"), torch.randn(64, 4000, device="cuda") < 0
    places = 64 * 4000 * 2 * 8  # a row and a column for every value, were all true
    assert _beyond(_assign(scores, mask, torch.tensor(1.0, device="cuda"))) >= places
    one = torch.tensor(1.0).cuda()
    assert _beyond(lambda: scores.index_put_((mask,), one)) >= places
    assert _beyond(_assign(scores, (mask[:, 0], torch.zeros(64, dtype=torch.int64).cuda()), 0)) >= 64 * 8


def test_out_of_place_only_the_result_is_new(card: Machine) -> None:
    scores, mask = torch.randn(64, 4000, device="cuda"), torch.randn(64, 4000, device="cuda") < 0
    assert _beyond(lambda: scores.index_put((mask,), torch.tensor(0.0))) == 64 * 4000 * 4


def test_known_values_are_written(card: Machine) -> None:
    ids = torch.tensor([[5, 6, 0], [7, 0, 0]]).cuda()
    labels = ids.clone()
    labels[ids == 0] = -100
    assert labels.tolist() == [[5, 6, -100], [7, -100, -100]]
    labels[ids[:, 0] == 5] = 3
    assert labels.tolist() == [[3, 3, 3], [7, -100, -100]]
    labels[:, torch.tensor([True, False, True]).cuda()] = 9
    assert labels.tolist() == [[9, 3, 9], [9, -100, 9]]


def test_gradients_pass_what_a_mask_has_filled(card: Machine) -> None:
    weight = torch.randn(4, 4, device="cuda", requires_grad=True)
    scores = weight * 2
    scores[scores > 0] = 0
    scores.sum().backward()
    assert weight.grad is not None
    assert weight.grad.shape == (4, 4)


def test_a_mask_of_other_sizes_is_refused_in_the_words_of_pytorch(card: Machine) -> None:
    on_card, on_host = torch.zeros(64, 40, device="cuda"), torch.zeros(64, 40)
    mask = torch.ones(3, dtype=torch.bool)
    with pytest.raises(IndexError) as told:
        on_card[mask.cuda()] = 0
    with pytest.raises(IndexError) as real:
        on_host[mask] = 0
    assert str(told.value) == str(real.value)
