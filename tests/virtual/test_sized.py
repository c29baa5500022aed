"""Sizes that depend on values: exact where those are known, else the largest, refused where there is no largest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from probes.virtual import Machine, NotCarriedError


@contextmanager
def _operator(namespace: str, schema: str) -> Iterator[Callable[..., torch.Tensor]]:
    """An operator that its library defines where that is installed."""
    name = schema.partition("(")[0]
    with torch.library._scoped_library(namespace, "FRAGMENT") as library:
        if not hasattr(getattr(torch.ops, namespace), name):
            library.define(schema)
        yield getattr(getattr(torch.ops, namespace), name)


def _unknown(count: int) -> torch.Tensor:
    return (torch.randn(count, device="cuda") > 0).long()


def test_counts_of_known_values_are_counted(card: Machine) -> None:
    values = torch.tensor([1, 2, 5], device="cuda")
    assert torch.bincount(values).tolist() == [0, 1, 1, 0, 0, 1]
    assert torch.bincount(values, minlength=8).tolist() == [0, 1, 1, 0, 0, 1, 0, 0]
    weights = torch.tensor([0.5, 2.0, 4.0], device="cuda")
    assert torch.bincount(values, weights).tolist() == [0.0, 0.5, 2.0, 0.0, 0.0, 4.0]
    assert not list(card.notes.value_sentences())


@pytest.mark.parametrize(
    ("dtype", "counts"), [(None, torch.int64), (torch.float32, torch.float32), (torch.int64, torch.float64)]
)
def test_counts_of_unknown_values_are_as_long_as_asked(
    card: Machine, dtype: torch.dtype | None, counts: torch.dtype
) -> None:
    """A confusion matrix, as metrics make it."""
    weights = None if dtype is None else torch.ones(100, device="cuda").cumsum(0).to(dtype)
    real = torch.bincount(torch.zeros(3, dtype=torch.int64), None if dtype is None else torch.ones(3, dtype=dtype))
    found = torch.bincount(_unknown(100), weights, minlength=9)
    assert (found.shape, found.dtype, real.dtype) == ((9,), counts, counts)
    assert any("as long as minlength" in sentence for sentence in card.notes.value_sentences())
    known = torch.bincount(torch.tensor([3] * 100, device="cuda"), weights)
    assert known.shape == (4,)


def test_counts_that_may_have_any_length_are_refused(card: Machine) -> None:
    with pytest.raises(NotCarriedError, match="bincount of unknown values"):
        torch.bincount(_unknown(4))


def test_boxes_that_a_library_keeps_are_taken_to_be_all(card: Machine) -> None:
    with _operator("torchvision", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor") as nms:
        kept = nms(torch.randn(500, 4, device="cuda").relu(), torch.randn(500, device="cuda"), 0.5)
    assert (kept.shape, kept.dtype) == ((500,), torch.int64)
    told = list(card.notes.sentences())
    assert any("torchvision::nms of unknown values is taken at its largest" in sentence for sentence in told)
    assert any("scratch of torchvision::nms is not counted" in sentence for sentence in told)


def test_an_operator_of_another_library_is_refused_by_its_name(card: Machine) -> None:
    def fake(values: torch.Tensor) -> torch.Tensor:
        return values.new_empty(torch.library.get_ctx().new_dynamic_size())

    with _operator("ilora_tests", "some_of(Tensor values) -> Tensor") as some_of:
        torch.library.register_fake("ilora_tests::some_of", fake)
        with pytest.raises(NotCarriedError, match=r"ilora_tests\.some_of.*its size depends on values"):
            some_of(torch.randn(500, device="cuda"))
