"""Checks as scripts make them, in a file that pytest does not rewrite."""

from __future__ import annotations

from torch import Tensor


def asserted(truth: Tensor) -> None:
    assert truth.all()


def asserted_not(truth: Tensor) -> None:
    assert not truth.any(), "with a message"


def raised(truth: Tensor) -> None:
    if truth.any():
        raise ValueError("some are true")


def raised_unless(truth: Tensor) -> None:
    if not truth.all():
        message = "some are false"
        raise ValueError(message)


def read_first(truth: Tensor) -> None:
    if not truth.all().item():
        raise ValueError


def read_beside_another(truth: Tensor) -> None:
    if len(truth) == 9 or not truth.all().item():
        raise ValueError


def converted(truth: Tensor) -> None:
    if not bool(truth.all()):
        raise ValueError


def joined(truth: Tensor) -> None:
    if not (truth[0] and truth[1]):
        raise ValueError


def compared(truth: Tensor) -> None:
    if truth[0] != truth[1]:
        raise ValueError


def over_lines(truth: Tensor) -> None:
    if not (
        truth
        & truth
    ).all():  # fmt: skip
        raise ValueError


def otherwise(truth: Tensor) -> None:
    if len(truth) == 9:
        pass
    elif not truth.all():
        raise ValueError


def inside_another(truth: Tensor) -> None:
    if len(truth) != 9:
        assert truth.all()
        return
    raise ValueError


def part_of_a_part(truth: Tensor) -> None:
    if truth.any().item() == (len(truth) == 9):
        raise ValueError("nobody knows what a true part would mean")


def both_ways(truth: Tensor) -> None:
    if truth.any() or not truth.all():
        raise ValueError("nobody knows which of them asks")


UNCLEAR = (part_of_a_part, both_ways)
CHECKS = {
    check.__name__: check
    for check in (
        asserted,
        asserted_not,
        raised,
        raised_unless,
        read_first,
        read_beside_another,
        converted,
        joined,
        compared,
        over_lines,
        otherwise,
        inside_another,
    )
}
