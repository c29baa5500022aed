"""What scripts keep on the host beside a card: pinned memory, and tensors made there after those of the card."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from probes.virtual import Machine, is_virtual

FACTORIES: dict[str, Callable[[], torch.Tensor]] = {
    "empty": lambda: torch.empty(10, pin_memory=True),
    "zeros": lambda: torch.zeros(10, pin_memory=True),
    "randn": lambda: torch.randn(3, pin_memory=True),
    "full": lambda: torch.full((3,), 1.0, pin_memory=True),
    "arange": lambda: torch.arange(3, pin_memory=True),
    "tensor": lambda: torch.tensor([1.0], pin_memory=True),
    "empty_strided": lambda: torch.empty_strided((3,), (1,), pin_memory=True),
    "empty_like": lambda: torch.empty_like(torch.randn(3), pin_memory=True),
    "empty_like of the card": lambda: torch.empty_like(torch.randn(3, device="cuda"), device="cpu", pin_memory=True),
    "new_empty": lambda: torch.randn(4).new_empty(3, pin_memory=True),
    "pin_memory": lambda: torch.randn(4).pin_memory(),
}


@pytest.mark.parametrize("make", FACTORIES.values(), ids=FACTORIES)
def test_pinned_memory_is_on_the_host_and_known_as_pinned(card: Machine, make: Callable[[], torch.Tensor]) -> None:
    torch.cuda.synchronize()
    pinned = make()
    assert (pinned.device.type, is_virtual(pinned), pinned.is_pinned()) == ("cpu", False, True)
    assert pinned[1:].is_pinned()
    assert pinned.pin_memory() is pinned
    del pinned
    assert torch.cuda.memory_allocated() == 0


def test_pinning_copies_and_leaves_what_it_copies(card: Machine) -> None:
    plain = torch.zeros(4)
    pinned = plain.pin_memory()
    pinned[0] = 1
    assert plain.tolist() == [0, 0, 0, 0]
    assert not plain.is_pinned()
    assert pinned.to("cuda", non_blocking=True).tolist() == [1, 0, 0, 0]
    assert not torch.empty(3, pin_memory=False).is_pinned()


def test_a_mark_ends_with_its_memory(card: Machine) -> None:
    for _ in range(3000):
        torch.empty(8, pin_memory=True)
        assert not torch.empty(8).is_pinned()


def test_tensors_of_the_card_cannot_be_pinned(card: Machine) -> None:
    tensor = torch.zeros(3, device="cuda")
    assert not tensor.is_pinned()
    with pytest.raises(RuntimeError, match=r"cannot pin 'torch\.cuda\.FloatTensor' only dense CPU tensors"):
        tensor.pin_memory()


def test_activations_are_kept_in_pinned_memory(card: Machine) -> None:
    peaks = []
    for offload in (False, True):
        torch.cuda.reset_peak_memory_stats()
        layers = torch.nn.Sequential(*[torch.nn.Linear(256, 256) for _ in range(4)]).cuda()
        with torch.autograd.graph.save_on_cpu(pin_memory=True) if offload else torch.enable_grad():
            layers(torch.randn(4096, 256, device="cuda")).sum().backward()
        peaks.append(torch.cuda.max_memory_allocated())
        del layers
    assert peaks[1] < peaks[0]


@pytest.mark.parametrize("like", [torch.empty_like, torch.zeros_like, torch.ones_like, torch.rand_like])
def test_what_is_made_on_the_host_after_a_tensor_of_the_card_stays_there(
    card: Machine, like: Callable[..., torch.Tensor]
) -> None:
    weight = torch.randn(3, 5, device="cuda").t()
    before = torch.cuda.memory_allocated()
    for _ in range(2):  # the second time from what is remembered of shapes, if anything is
        made = like(weight, device="cpu")
        assert (made.device.type, made.shape, made.stride()) == ("cpu", (5, 3), weight.stride())
        assert weight.new_full((2,), 7.0, device="cpu").tolist() == [7, 7]
    assert torch.cuda.memory_allocated() == before
    assert is_virtual(like(weight))
