"""Corners of PyTorch that scripts reach: in-place views, lazy modules, function transforms, fused inference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ilora_diag.schema import Category
from probes.virtual import Machine, NotCarriedError

IN_PLACE_VIEWS: dict[str, Callable[[torch.Tensor], object]] = {
    "squeeze_": lambda x: x.squeeze_(),
    "squeeze_ of one": lambda x: x.squeeze_(0),
    "unsqueeze_": lambda x: x.unsqueeze_(0),
    "t_": lambda x: x.t_(),
    "transpose_": lambda x: x.transpose_(0, 1),
    "swapdims_": lambda x: x.swapdims_(0, 1),
    "as_strided_": lambda x: x.as_strided_((2, 2), (1, 1)),
    "resize_": lambda x: x.resize_(4, 4),
    "resize_as_": lambda x: x.resize_as_(torch.empty(2, 2, device=x.device)),
}


@pytest.mark.parametrize("change", IN_PLACE_VIEWS.values(), ids=IN_PLACE_VIEWS)
def test_a_view_made_in_place_changes_the_tensor_every_time(
    card: Machine, change: Callable[[torch.Tensor], object]
) -> None:
    expected = torch.rand(1, 3)
    change(expected)
    for _ in range(3):  # from the second time on shapes may be remembered
        tensor = torch.rand(1, 3, device="cuda")
        change(tensor)
        assert (tensor.shape, tensor.stride()) == (expected.shape, expected.stride())


def test_composites_that_squeeze_in_place_keep_their_ranks(card: Machine) -> None:
    for _ in range(2):
        half = torch.tensor(0.5, device="cuda")
        assert torch.quantile(torch.rand(6, device="cuda"), half).shape == ()
        assert torch.stft(torch.rand(100, device="cuda"), 10, return_complex=True).shape == (6, 51)


def test_kernels_that_answer_in_other_shapes_on_the_host_do_no_harm(card: Machine) -> None:
    few = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device="cuda")  # few enough for their values to be carried along
    norm = nn.BatchNorm1d(2).cuda().eval()
    assert norm(few).shape == (2, 2)
    bag = nn.EmbeddingBag(5, 2).cuda()
    assert bag(torch.tensor([0, 1, 4], device="cuda"), torch.tensor([0, 2], device="cuda")).shape == (2, 2)


@pytest.mark.parametrize("move", [lambda net: net.cuda(), lambda net: net.to("cuda")], ids=["cuda", "to"])
def test_lazy_modules_get_their_sizes_on_the_card(card: Machine, move: Callable[[nn.Module], nn.Module]) -> None:
    net = move(nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(4)))
    net(torch.randn(2, 6, device="cuda")).sum().backward()
    assert [str(parameter.grad.device) for parameter in net.parameters() if parameter.grad is not None] == 6 * [
        "cuda:0"
    ]
    ledger = card.ledger
    parameters = [n for n in ledger.live_at(len(ledger.events)) if ledger.category(n) is Category.PARAMETER]
    assert sorted(ledger.modules[n] for n in parameters) == ["0", "0", "1", "1", "2", "2"]


def test_gradients_of_single_samples_by_transforms(card: Machine) -> None:
    net = nn.Linear(4, 2).cuda()

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(torch.func.functional_call(net, parameters, (x,)), y)

    single = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    found = single(dict(net.named_parameters()), torch.randn(5, 4, device="cuda"), torch.randn(5, 2, device="cuda"))
    assert {name: tuple(grad.shape) for name, grad in found.items()} == {"weight": (5, 2, 4), "bias": (5, 2)}


def _notes(card: Machine) -> str:
    return "\n".join(card.notes.sentences())


@pytest.mark.parametrize("masked", [False, True])
def test_an_encoder_in_inference_counts_what_it_computes(card: Machine, masked: bool) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 64, batch_first=True), 1).cuda().eval()
    x, mask = torch.randn(2, 5, 16, device="cuda"), torch.zeros(2, 5, dtype=torch.bool, device="cuda")
    first = len(card.ledger.sizes)
    with torch.no_grad():
        assert encoder(x, src_key_padding_mask=mask if masked else None).shape == (2, 5, 16)
    assert 2 * 5 * 64 * 4 in card.ledger.sizes[first:]  # the hidden layer, which one fused kernel would hide
    assert "fused inference kernels" in _notes(card)


def test_an_encoder_in_training_has_no_fused_kernels_to_speak_of(card: Machine) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 64), 1).cuda()
    encoder(torch.randn(5, 2, 16, device="cuda")).sum().backward()
    assert "fused inference kernels" not in _notes(card)


UNMEASURED = {
    "cuDNN convolutions": lambda: nn.Conv2d(3, 4, 3).cuda()(torch.randn(1, 3, 8, 8, device="cuda")),
    "cuFFT transforms": lambda: torch.fft.rfft(torch.randn(16, device="cuda")),
    "cuSOLVER decompositions": lambda: torch.linalg.svd(torch.randn(4, 4, device="cuda")),
    "aten::sort": lambda: torch.randn(1 << 18, device="cuda").sort(),
    "aten::randperm": lambda: torch.randperm(1 << 18, device="cuda"),
}


@pytest.mark.parametrize("name", UNMEASURED)
def test_memory_that_nobody_measured_is_told(card: Machine, name: str) -> None:
    UNMEASURED[name]()
    assert name in _notes(card)
    assert "not counted" in _notes(card)


def test_nothing_is_told_of_what_is_counted_or_small(card: Machine) -> None:
    torch.randn(64, 64, device="cuda").mm(torch.randn(64, 64, device="cuda")).softmax(-1).sum()
    torch.randn(1024, device="cuda").sort()
    assert "not counted" not in _notes(card)


def test_other_layouts_are_refused_by_name(card: Machine) -> None:
    with pytest.raises(NotCarriedError, match="nested tensors"):
        torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)], device="cuda", layout=torch.jagged)
    lengths = torch.tensor([5, 3])
    with pytest.raises(NotCarriedError, match="pack_padded_sequence"):
        nn.utils.rnn.pack_padded_sequence(torch.randn(2, 5, 4, device="cuda"), lengths, batch_first=True)


OFFSETS = torch.tensor([2, 5, 8], dtype=torch.int32)
GROUPED: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool]] = {
    "tokens by expert": ((8, 16), (3, 16, 32), True),
    "their gradient of weights": ((16, 8), (8, 32), True),
    "weights by tokens": ((3, 16, 32), (32, 8), True),
    "batched": ((3, 4, 16), (3, 16, 32), False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("left", "right", "grouped"), GROUPED.values(), ids=GROUPED)
def test_a_grouped_product_asks_for_its_result_alone(
    card: Machine, left: tuple[int, ...], right: tuple[int, ...], grouped: bool, dtype: torch.dtype
) -> None:
    factors = [torch.randn(left, dtype=dtype), torch.randn(*right[:-2], *right[-2:][::-1], dtype=dtype).mT]
    expected = torch._grouped_mm(*factors, offs=OFFSETS if grouped else None)
    on_card = [factor.cuda().requires_grad_() for factor in factors]
    offsets = OFFSETS.cuda() if grouped else None
    first = len(card.ledger.sizes)
    found = torch._grouped_mm(*on_card, offs=offsets)
    assert (found.shape, found.stride(), found.dtype) == (expected.shape, expected.stride(), dtype)
    assert card.ledger.sizes[first:] == [expected.numel() * expected.element_size()]
    found.exp().sum().backward()  # a gradient whose rows lie apart, as the kernel wants them
    assert [factor.grad is not None and factor.grad.shape == factor.shape for factor in on_card] == [True, True]
