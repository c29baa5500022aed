"""`torch.cuda.FloatTensor` and its like, as older training scripts use them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from probes.virtual import Machine, is_virtual, virtual_cuda


def test_they_make_tensors_of_sizes_data_and_sequences(card: Machine) -> None:
    made = torch.cuda.FloatTensor(2, 1).fill_(1.0)
    assert (made.shape, made.dtype, made.device) == ((2, 1), torch.float32, torch.device("cuda:0"))
    assert torch.cuda.FloatTensor(torch.Size([3])).shape == (3,)
    assert torch.cuda.FloatTensor().numel() == 0
    assert torch.cuda.LongTensor([1, 2]).tolist() == [1, 2]
    assert torch.cuda.HalfTensor([[1.0]]).dtype is torch.float16


def test_a_tensor_is_an_instance_by_device_and_type(card: Machine) -> None:
    floats = torch.zeros(2, device="cuda")
    assert isinstance(floats, torch.cuda.FloatTensor)
    assert not isinstance(floats, torch.cuda.LongTensor)
    assert not isinstance(torch.zeros(2), torch.cuda.FloatTensor)
    assert isinstance(torch.zeros(2), torch.FloatTensor)
    assert torch.cuda.FloatTensor(floats) is floats  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"expected torch\.cuda\.LongTensor \(got torch\.cuda\.FloatTensor\)"):
        torch.cuda.LongTensor(floats)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_name", [False, True])
def test_tensors_are_converted_by_them(card: Machine, by_name: bool) -> None:
    kind = "torch.cuda.FloatTensor" if by_name else torch.cuda.FloatTensor
    moved = torch.arange(3).type(kind)  # type: ignore[call-overload]
    assert (is_virtual(moved), moved.dtype, moved.tolist()) == (True, torch.float32, [0.0, 1.0, 2.0])
    assert moved.type() == "torch.cuda.FloatTensor"


@pytest.fixture
def default_types() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.usefixtures("default_types")
@pytest.mark.parametrize("by_name", [False, True])
def test_one_may_be_the_default_until_another_is_or_the_device_goes(by_name: bool) -> None:
    with virtual_cuda("t4", environ={}):
        kind = "torch.cuda.HalfTensor" if by_name else torch.cuda.HalfTensor
        torch.set_default_tensor_type(kind)
        assert (torch.zeros(2).is_cuda, torch.zeros(2).dtype) == (True, torch.float16)
        torch.set_default_tensor_type(torch.FloatTensor)
        assert (torch.zeros(2).is_cuda, torch.zeros(2).dtype) == (False, torch.float32)
        torch.set_default_tensor_type(torch.cuda.FloatTensor)
    assert not torch.zeros(2).is_meta
    assert torch.zeros(2).device == torch.device("cpu")
    assert type(torch.cuda.FloatTensor) is not type
    if not torch.cuda.is_available():
        with pytest.raises((TypeError, RuntimeError), match=r"not available|NVIDIA driver|No CUDA GPUs"):
            torch.cuda.FloatTensor(2)
