"""Tensors of the card behave like tensors: types, values that can be known, copies, errors."""

from __future__ import annotations

import copy
import io
import pickle
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from probes.virtual import Machine, NotCarriedError, is_virtual


def test_types_are_exact(card: Machine) -> None:
    tensor = torch.randn(3, 4, device="cuda")
    assert type(tensor) is torch.Tensor
    assert is_virtual(tensor)
    assert not is_virtual(torch.ones(1))
    assert not is_virtual(torch.ones(1, device="meta"))
    assert type(nn.Linear(2, 2).cuda().weight) is nn.Parameter
    assert tensor.is_cuda
    assert not tensor.is_meta
    assert tensor.device == torch.device("cuda:0")
    assert tensor.type() == "torch.cuda.FloatTensor"
    assert tensor.untyped_storage().device == torch.device("cuda:0")
    assert tensor.data_ptr() == tensor.untyped_storage().data_ptr() > 0
    assert tensor[1:].data_ptr() == tensor.data_ptr() + 16
    assert tensor.t().data_ptr() == tensor.data_ptr()


def test_what_names_no_type_has_the_default_type_of_its_time(card: Machine) -> None:
    assert torch.zeros(7, 3, device="cuda").dtype is torch.float32
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert torch.zeros(7, 3, device="cuda").dtype is torch.bfloat16
        assert (torch.arange(3, device="cuda") / 2).dtype is torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
    assert (torch.arange(3, device="cuda") / 2).dtype is torch.float32


def test_values_from_the_host_are_known(card: Machine) -> None:
    ids = torch.tensor([[5, 6, 0], [7, 0, 0]]).cuda()
    mask = ids != 0
    assert mask.tolist() == [[True, True, False], [True, False, False]]
    assert mask.sum().item() == 3
    assert int(ids.max()) == 7
    assert bool(mask.all()) is False
    assert float(mask.float().mean()) == 0.5
    assert ids[mask].tolist() == [5, 6, 7]
    assert mask.nonzero().shape == (3, 2)
    assert torch.equal(ids.cpu(), torch.tensor([[5, 6, 0], [7, 0, 0]]))
    assert ids.cpu().numpy().sum() == 18
    ids[0, 0] = 1
    ids += 1
    assert ids.tolist() == [[2, 7, 1], [8, 1, 1]]
    view = ids[1]
    view.fill_(9)
    assert ids.tolist() == [[2, 7, 1], [9, 9, 9]]
    assert [int(value) for value in ids[1]] == [9, 9, 9]
    assert list(card.notes.sentences()) == []


def test_what_nobody_computed_is_noted(card: Machine) -> None:
    loss = (torch.randn(8, 8, device="cuda") @ torch.randn(8, 8, device="cuda")).mean()
    assert loss.item() == float(loss) == 1.0
    assert f"{loss:.3f}" == "1.000"
    assert loss.cpu().item() == 0.0
    assert (torch.randn(3, device="cuda") > 0)[0].int().item() == 0
    texts = list(card.notes.sentences())
    assert any("floating-point values read" in text for text in texts)
    assert any("int32 values read" in text for text in texts)
    assert any("copied from the card to the host are zeros" in text for text in texts)


def test_printing(card: Machine) -> None:
    text = repr(torch.randn(3, 4, device="cuda", requires_grad=True))
    assert "device='cuda:0'" in text
    assert "size=(3, 4)" in text
    assert "cuda:0" in str(nn.Linear(2, 2).cuda().weight)
    assert str(torch.ones(2, device="cuda"))


def test_numpy_refuses_as_on_a_card(card: Machine) -> None:
    import numpy as np

    tensor = torch.ones(3, device="cuda")
    for call in (tensor.numpy, lambda: np.asarray(tensor), lambda: np.array([tensor])):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            call()
    assert torch.from_numpy(np.arange(3)).cuda().tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        tensor.pin_memory()


def test_new_tensors_follow_their_model(card: Machine) -> None:
    mine = torch.ones(2, 3, device="cuda")
    made = (
        mine.new_zeros(4),
        mine.new_tensor([1.0]),
        mine.new_full((2,), 3),
        mine.new_empty(2),
        torch.zeros_like(mine),
        torch.tensor([1], device=mine.device),
        torch.as_tensor([1, 2], device="cuda"),
        torch.full((2,), 1.0, device="cuda"),
        torch.ones(2).to(mine),
        torch.ones(2).type_as(mine),
        torch.ones(2).to(other=mine),
        torch.ones(2).to(device="cuda", dtype=torch.float16, non_blocking=True),
        torch.ones(2).type("torch.cuda.HalfTensor"),
        torch.cat([mine, mine]),
        torch.linspace(0, 1, 5, device="cuda"),
        torch.eye(3, device="cuda"),
        torch.tril(torch.ones(3, 3, device="cuda")),
        torch.nn.functional.one_hot(torch.tensor([0, 2]).cuda(), 4),
        torch.stack([mine, mine]).unbind(0)[1],
        mine.clone(),
        mine.detach(),
        mine.to(torch.float16),
        mine.half(),
        torch.ones(2).to(0),
        torch.ones(2).cuda(0),
    )
    assert [tensor.device for tensor in made] == [torch.device("cuda:0")] * len(made)
    assert not mine.cpu().is_cuda
    assert not mine.to("cpu").is_cuda
    assert not mine.to(torch.ones(1)).is_cuda
    assert mine.to("cuda") is mine
    assert mine.cuda() is mine


def test_copies(card: Machine) -> None:
    tensor = torch.randn(4, device="cuda", requires_grad=True)
    twin = copy.deepcopy(tensor)
    assert twin.is_cuda
    assert twin.requires_grad
    assert twin.data_ptr() != tensor.data_ptr()
    layer = nn.Linear(3, 3).cuda()
    layer(torch.ones(1, 3, device="cuda")).sum().backward()
    copied = copy.deepcopy(layer)
    assert type(copied.weight) is nn.Parameter
    assert copied.weight.grad is None  # as torch has it
    assert copied.weight.data_ptr() != layer.weight.data_ptr()
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2).cuda()
    assert encoder(torch.randn(2, 5, 16, device="cuda")).shape == (2, 5, 16)
    again = copy.deepcopy(encoder)
    assert {parameter.device.type for parameter in again.parameters()} == {"cuda"}
    assert copy.copy(tensor).is_cuda


def test_writing_to_disk_is_refused(card: Machine, tmp_path: Path) -> None:
    layer = nn.Linear(2, 2).cuda()
    for data in (layer.state_dict(), layer, layer.weight):
        with pytest.raises(NotCarriedError, match="saving"):
            torch.save(data, tmp_path / "weights.pt")
        with pytest.raises(NotCarriedError, match="saving"):
            pickle.dumps(data)
    safetensors = pytest.importorskip("safetensors.torch")
    with pytest.raises(NotCarriedError, match="saving"):
        safetensors.save_file(layer.state_dict(), tmp_path / "weights.safetensors")
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(3)}, buffer)  # what is on the host is saved as ever
    buffer.seek(0)
    assert torch.load(buffer, map_location="cuda")["weight"].tolist() == [0, 1, 2]
    buffer.seek(0)
    assert torch.load(buffer, map_location="cuda", weights_only=True)["weight"].is_cuda


def test_in_place_shape_changes_are_followed(card: Machine) -> None:
    tensor = torch.empty(10, device="cuda")
    tensor.resize_(1000)
    assert torch.cuda.memory_allocated() == 4096
    tensor.data = torch.empty(5, device="cuda")
    assert torch.cuda.memory_allocated() == 512
    tensor.set_(torch.empty(600, device="cuda"))
    assert torch.cuda.memory_allocated() == 2560
    storage = tensor.untyped_storage()
    storage.resize_(0)
    assert torch.cuda.memory_allocated() == 0


def test_autograd_functions_of_users(card: Machine) -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, given: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(given)
            return given * 2

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            (given,) = ctx.saved_tensors
            assert given.is_cuda
            assert grads[0].is_cuda
            return grads[0] * 2

    given = torch.ones(3, device="cuda", requires_grad=True)
    Double.apply(given).sum().backward()
    assert given.grad is not None
    assert given.grad.is_cuda


def test_random_numbers(card: Machine) -> None:
    torch.manual_seed(3)
    assert torch.cuda.initial_seed() == 3
    torch.cuda.manual_seed_all(5)
    generator = torch.Generator(device="cuda")
    assert isinstance(generator, torch.Generator)
    assert isinstance(torch.Generator(), torch.Generator)
    assert generator.device == torch.device("cuda:0")
    assert generator.manual_seed(7) is generator
    assert generator.initial_seed() == 7
    assert torch.randn(2, device="cuda", generator=generator).is_cuda
    assert torch.empty(2, device="cuda").normal_(generator=generator).is_cuda
    assert torch.randperm(5, device="cuda", generator=generator).shape == (5,)
    state = torch.cuda.get_rng_state()
    assert (state.dtype, state.device.type, state.numel()) == (torch.uint8, "cpu", 16)
    with torch.random.fork_rng(devices=[0]):
        torch.cuda.manual_seed(99)
        assert torch.cuda.initial_seed() == 99
    assert torch.cuda.initial_seed() == 5
    torch.cuda.set_rng_state(state)
    torch.cuda.set_rng_state_all(torch.cuda.get_rng_state_all())
    host = torch.Generator().manual_seed(1)
    assert torch.equal(torch.rand(2, generator=host), torch.rand(2, generator=torch.Generator().manual_seed(1)))
    with torch.random.fork_rng():
        torch.rand(1)


def test_one_side_can_decide_what_the_other_nobody_knows(card: Machine) -> None:
    unknown = torch.rand(3, device="cuda") > 0.5
    yes, no = torch.ones(3, dtype=torch.bool).cuda(), torch.zeros(3, dtype=torch.bool).cuda()
    assert bool((unknown | yes).all())
    assert not bool((unknown & no).any())
    assert list(card.notes.sentences()) == []
    assert not bool((unknown | no).any())
    assert list(card.notes.sentences()) != []


def test_comparing(card: Machine) -> None:
    ids = torch.arange(4).cuda()
    assert torch.equal(ids, torch.arange(4).cuda())
    assert not torch.equal(ids, ids + 1)
    assert torch.allclose(ids.float(), ids.float())
    assert list(card.notes.sentences()) == []
    assert torch.allclose(torch.randn(99, device="cuda"), torch.randn(99, device="cuda"))
    assert any("taken to be equal" in sentence for sentence in card.notes.sentences())


def test_what_is_selected_by_an_unknown_mask_is_taken_at_its_largest(card: Machine) -> None:
    scores = torch.randn(4, 5, device="cuda")
    assert torch.masked_select(scores, scores > 0).shape == (20,)
    assert torch.masked_select(scores, scores[0] > 0).shape == (20,)
    assert torch.masked_select(scores, torch.tensor([True, False, False, True, False]).cuda()).shape == (20,)
    ids = torch.tensor([3, 1, 2]).cuda()
    assert torch.masked_select(ids, ids > 1).tolist() == [3, 2]


def test_a_forced_copy_to_numpy_is_one(card: Machine) -> None:
    assert torch.tensor([1, 2]).cuda().numpy(force=True).tolist() == [1, 2]
    assert torch.ones(2, requires_grad=True).numpy(force=True).tolist() == [1, 1]
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu\(\)"):
        torch.tensor([1, 2]).cuda().numpy()


def test_distributions_take_arguments_nobody_computed_and_refuse_known_ones_that_are_wrong(card: Machine) -> None:
    checked = {"validate_args": True}  # the default, until something in the process imports the compiler
    mean = torch.randn(3, device="cuda")
    drawn = torch.distributions.Normal(mean, torch.ones(3, device="cuda"), **checked).rsample()
    assert drawn.shape == (3,)
    drawn_of = torch.distributions.Categorical(probs=torch.randn(2, 4, device="cuda").softmax(-1), **checked)
    drawn_of.log_prob(torch.tensor([0, 1]).cuda())
    assert any("taken to be in order" in sentence for sentence in card.notes.sentences())
    with pytest.raises(ValueError, match="Expected parameter scale"):
        torch.distributions.Normal(mean, torch.tensor([-1.0]).cuda(), **checked)


class _PassingOn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class _Subclass(torch.Tensor):
    """Neither does anything of its own; both make C++ ask Python for every attribute."""


@pytest.mark.parametrize("around", [_PassingOn, lambda: torch.device("cuda"), nullcontext], ids=["mode", "device", ""])
@pytest.mark.parametrize("kind", [torch.Tensor, _Subclass])
def test_what_it_is_shows_through_modes_and_subclasses(card: Machine, around: Any, kind: type[torch.Tensor]) -> None:
    tensor = torch.ones(3, device="cuda").as_subclass(kind)
    with around():
        assert (is_virtual(tensor), tensor.is_meta, tensor.is_cuda, str(tensor.device)) == (True, False, True, "cuda:0")
        assert tensor.type() == "torch.cuda.FloatTensor"
        assert tensor.data_ptr()
        assert not tensor.is_pinned()
        with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
            tensor.pin_memory()
        assert type(tensor + 1) is kind
        assert (tensor + 1).tolist() == [2, 2, 2]
