"""Whether values are finite: asked by scripts that look after themselves, answered as a healthy run would."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from probes.virtual import Machine
from probes.virtual.finite import FINITE

INF = float("inf")
HEALTHY: dict[str, Callable[[torch.Tensor], object]] = {
    "isfinite all": lambda x: torch.isfinite(x).all(),
    "not isnan any": lambda x: not torch.isnan(x).any(),
    "no isnan in all": lambda x: x.isnan().sum() == 0,
    "neither": lambda x: not (x.isnan() | x.isinf()).any(),
    "not not": lambda x: (~torch.isnan(x)).all(),
    "item": lambda x: torch.isfinite(x).all().item(),
    "by hand": lambda x: not (x != x).any() and not (x == INF).any() and (x != INF).all(),
    "one by one": lambda x: torch.isfinite(x.flatten()[0]),
    "of a view": lambda x: torch.isfinite(x).view(-1)[3:].all(),
    "counted": lambda x: torch.isfinite(x).sum() == x.numel(),
}


@pytest.fixture(params=[(4, 8), (2048, 4096)], ids=["small", "larger than what is kept of values"])
def computed(request: pytest.FixtureRequest, card: Machine) -> torch.Tensor:
    rows, columns = request.param
    return torch.randn(rows, 4, device="cuda") @ torch.randn(4, columns, device="cuda")


@pytest.mark.parametrize("ask", HEALTHY.values(), ids=HEALTHY)
def test_computed_values_are_finite_and_it_is_told(
    card: Machine, computed: torch.Tensor, ask: Callable[[torch.Tensor], object]
) -> None:
    assert ask(computed)
    assert any(sentence.startswith(FINITE) for sentence in card.notes.value_sentences())


def test_other_questions_have_no_answer(card: Machine, computed: torch.Tensor) -> None:
    assert not (computed > 0).all()
    assert not (computed == computed.clone()).all()
    assert not (computed != 3.0).all()
    assert not any(sentence.startswith(FINITE) for sentence in card.notes.sentences())


def test_known_values_are_answered_as_they_are(card: Machine) -> None:
    known = torch.tensor([1.0, float("nan"), INF]).cuda()
    assert torch.isnan(known).tolist() == [False, True, False]
    assert torch.isfinite(known).tolist() == [True, False, False]
    assert not card.notes.counts


def test_what_is_written_over_an_answer_is_not_forgotten(card: Machine, computed: torch.Tensor) -> None:
    mask = torch.isnan(computed)
    mask[0, 0] = True
    if computed.numel() > 100:
        assert not mask.any(), "not known any more, hence false"
    else:
        assert mask.any()
    mask = torch.isfinite(computed)
    mask.logical_and_(computed > 0)
    assert not mask.all()


def test_an_answer_about_a_part_says_nothing_of_the_rest(card: Machine) -> None:
    flags = torch.zeros(8, dtype=torch.bool, device="cuda")
    flags.copy_(torch.randn(8, device="cuda") > 0)
    part = flags[:4]
    part.logical_and_(torch.isnan(torch.randn(4, device="cuda")))
    assert not flags[4:].any()


def test_selecting_by_an_answer_has_its_exact_size(card: Machine, computed: torch.Tensor) -> None:
    assert computed[torch.isfinite(computed)].shape == (computed.numel(),)
    assert torch.isnan(computed).nonzero().shape == (0, 2)
