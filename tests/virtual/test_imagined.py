"""Choices by values nobody computed: a script sees the same one wherever it looks, and no size follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from probes.virtual import Machine
from probes.virtual.imagined import CHOICES


def _scores(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda") @ torch.randn(shape[-1], 10, device="cuda")


CHOICE: dict[str, tuple[Callable[[], Tensor], object]] = {
    "argmax": (lambda: _scores(3, 4).argmax(-1), [5, 5, 5]),
    "argmax of all": (lambda: _scores(3, 4).argmax(), 15),
    "max": (lambda: _scores(3, 4).max(0).indices, [1] * 10),
    "multinomial": (lambda: torch.multinomial(_scores(2, 4).softmax(-1), 3), [[5, 6, 7], [5, 6, 7]]),
    "topk": (lambda: _scores(1, 4).topk(7).indices, [[5, 6, 7, 8, 9, 0, 1]]),
    "topk of columns": (lambda: _scores(4, 4).topk(2, 0).indices[:, :1], [[2], [3]]),
    "Categorical": (lambda: torch.distributions.Categorical(logits=_scores(2, 4)).sample(), [5, 5]),
    "randint": (lambda: torch.randint(5, 10, (2,), device="cuda"), [7, 7]),
    "randint from zero": (lambda: torch.randint(10, (2,), device="cuda"), [5, 5]),
    "randint of a generator": (
        lambda: torch.randint(5, 10, (2,), device="cuda", generator=torch.Generator("cuda").manual_seed(1)),
        [7, 7],
    ),
    "randperm": (lambda: torch.randperm(4, device="cuda"), [0, 1, 2, 3]),
}


@pytest.mark.parametrize(("choose", "expected"), CHOICE.values(), ids=CHOICE)
def test_a_choice_is_one_that_could_be_and_reading_it_is_noted(
    card: Machine, choose: Callable[[], Tensor], expected: object
) -> None:
    chosen = choose()
    assert not any(sentence.startswith(CHOICES) for sentence in card.notes.value_sentences())
    assert chosen.tolist() == expected
    assert chosen.cpu().tolist() == expected
    assert any(sentence.startswith(CHOICES) for sentence in card.notes.value_sentences())


def test_what_is_computed_of_a_choice_agrees_with_it(card: Machine) -> None:
    token = _scores(1, 4).argmax(-1)
    text = torch.cat([torch.tensor([3, 4], device="cuda"), token])
    ended = torch.isin(text, torch.tensor([9], device="cuda"))
    assert text.tolist() == [3, 4, 5]
    assert not ended.any()
    assert (ended.int() + 2).tolist() == [2, 2, 2]
    text[0] = 7
    assert text.tolist() == [7, 4, 5]


def test_a_real_choice_stays_real(card: Machine) -> None:
    chosen = torch.tensor([3, 9, 1], device="cuda").argmax()
    assert chosen.item() == 1
    assert not list(card.notes.value_sentences())


def test_a_choice_that_is_written_over_is_known(card: Machine) -> None:
    chosen = _scores(3, 4).argmax(-1)
    chosen.copy_(torch.tensor([1, 2, 3]))
    assert chosen.tolist() == [1, 2, 3]
    assert not list(card.notes.value_sentences())
    chosen[1:] = _scores(2, 4).argmax(-1)
    assert chosen.tolist() == [1, 5, 5]
    assert list(card.notes.value_sentences())


def test_no_size_follows_from_a_choice(card: Machine) -> None:
    chosen = _scores(100, 4).argmax(-1)
    wrong = chosen != 5
    assert not wrong.any()
    before = torch.cuda.memory_allocated()
    found = torch.ones(100, 64, device="cuda")[wrong]
    assert found.shape == (100, 64), "as many as there can be"
    assert torch.cuda.memory_allocated() - before == 100 * 64 * 4
    assert any("taken at its largest" in sentence for sentence in card.notes.value_sentences())


def test_a_mask_that_holds_nowhere_lets_values_stay(card: Machine) -> None:
    """The ends of generated texts, as trainers look for them."""
    ended = _scores(2, 3, 4).argmax(-1) == 9
    ends = torch.full((2,), 3, device="cuda")
    ends[ended.any(1)] = ended.int().argmax(1)[ended.any(1)]
    kept = torch.arange(3, device="cuda").expand(2, -1) <= ends.unsqueeze(1)
    assert kept.cpu().tolist() == [[True] * 3] * 2
