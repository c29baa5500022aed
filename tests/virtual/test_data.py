"""Tensors made of Python and numpy data on a card, by every constructor that takes data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from probes.virtual import Machine, is_virtual

CONSTRUCTORS = [torch.tensor.__name__, torch.as_tensor.__name__, torch.asarray.__name__]
DATA = {
    "list": [[1, 2, 3], [4, 5, 6]],
    "array": np.arange(1, 7).reshape(2, 3),
    "list of arrays": [np.array([1, 2, 3]), np.array([4, 5, 6])],
    "host tensor": torch.arange(1, 7).reshape(2, 3),
}

pytestmark = pytest.mark.filterwarnings("ignore:To copy construct", "ignore:Creating a tensor from a list")


@pytest.fixture(params=["in words", "by number", "by default", "in a block"])
def made(request: pytest.FixtureRequest, card: Machine) -> Iterator[Callable[..., torch.Tensor]]:
    """Makes a tensor on the card, in every way a script may say where."""
    way = request.param
    if way == "by default":
        torch.set_default_device("cuda")
    device = {"in words": {"device": "cuda"}, "by number": {"device": 0}}.get(way, {})

    def make(name: str, data: object, **kwargs: object) -> torch.Tensor:
        if way == "in a block":
            with torch.device("cuda"):
                return getattr(torch, name)(data, **kwargs)  # type: ignore[no-any-return]
        return getattr(torch, name)(data, **device, **kwargs)  # type: ignore[no-any-return]

    yield make
    torch.set_default_device(None)


@pytest.mark.parametrize("name", CONSTRUCTORS)
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_data_becomes_a_tensor_of_the_card(made: Callable[..., torch.Tensor], name: str, data: object) -> None:
    tensor = made(name, data)
    assert (str(tensor.device), tensor.dtype, is_virtual(tensor)) == ("cuda:0", torch.int64, True)
    assert tensor.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == 512
    del tensor
    assert torch.cuda.memory_allocated() == 0


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_type_is_chosen_before_the_move(made: Callable[..., torch.Tensor], name: str) -> None:
    half = made(name, np.zeros(1024, dtype=np.float64), dtype=torch.float16)
    assert (half.dtype, half.is_leaf, half.requires_grad) == (torch.float16, True, False)
    assert torch.cuda.max_memory_allocated() == 2048
    if name != "as_tensor":  # which takes no such argument
        assert made(name, np.zeros(4), requires_grad=True).requires_grad


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_what_stays_on_the_host_is_made_as_ever(card: Machine, name: str) -> None:
    array = np.arange(3)
    tensor = getattr(torch, name)(array)
    array[0] = 9
    assert (tensor.device.type, int(tensor[0])) == ("cpu", 0 if name == "tensor" else 9)


def test_tensors_of_the_card_are_data_too(card: Machine) -> None:
    flags = torch.tensor([3, 4], device="cuda")
    assert torch.tensor([flags[0], flags[1]]).tolist() == [3, 4]
    assert torch.tensor([[flags[0], 5], [6, flags[1]]], device="cuda").tolist() == [[3, 5], [6, 4]]
    assert torch.tensor(flags).device == flags.device
    assert torch.tensor(flags, device="cuda").data_ptr() != flags.data_ptr()
    assert torch.as_tensor(flags, device="cuda") is flags
    assert torch.as_tensor(flags, device="cpu").tolist() == [3, 4]
    with pytest.raises(ValueError, match="only one element tensors can be converted"):
        torch.tensor([flags.float(), flags.float()], device="cuda")


def test_a_card_that_is_not_there_is_named(card: Machine) -> None:
    with pytest.raises(torch.AcceleratorError, match="invalid device ordinal"):
        torch.tensor(np.zeros(3), device="cuda:1")
