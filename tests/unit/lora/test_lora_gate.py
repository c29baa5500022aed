"""Gates: weights that sum to one, the release's router exactly, and no saturation where we are free to choose."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilora.lora import GateShapeError, MoeLoraConfig
from ilora.lora.gate import ConvGate, Gate, build_gate

KINDS = [("conv", "batch"), ("conv", "layer"), ("conv", "none"), ("linear", "layer"), ("mlp", "layer")]


def make(kind: str, norm: str, user_size: int = 64, num_experts: int = 4) -> Gate:
    torch.manual_seed(0)
    config = MoeLoraConfig(
        r=num_experts, num_experts=num_experts, gate=kind, gate_norm=norm, user_size=user_size, target_modules=["x"]
    )
    return build_gate(config)


@pytest.mark.parametrize(("kind", "norm"), KINDS)
@pytest.mark.parametrize(("user_size", "num_experts"), [(64, 4), (112, 8), (33, 3), (5, 2), (64, 1)])
def test_weights_are_positive_and_sum_to_one_for_any_width(
    kind: str, norm: str, user_size: int, num_experts: int
) -> None:
    gates = make(kind, norm, user_size, num_experts)(torch.randn(6, user_size) * 4)
    assert gates.shape == (6, num_experts)
    assert (gates > 0).all()
    assert torch.allclose(gates.sum(dim=1), torch.ones(6))


@pytest.mark.parametrize(("kind", "norm"), [pair for pair in KINDS if pair != ("conv", "batch")])
def test_users_as_spread_as_a_trained_recommenders_do_not_saturate_a_fresh_gate(kind: str, norm: str) -> None:
    torch.manual_seed(0)
    gates = make(kind, norm)(torch.randn(200, 64) * 4.5)
    assert gates.max(dim=1).values.mean() < 0.7


@pytest.mark.parametrize(("kind", "norm"), [pair for pair in KINDS if pair != ("conv", "batch")])
def test_a_users_gates_do_not_depend_on_the_others_in_the_batch(kind: str, norm: str) -> None:
    gate, users = make(kind, norm).double(), torch.randn(6, 64, dtype=torch.float64) * 4
    assert torch.allclose(gate(users)[:2], gate(users[:2]), rtol=1e-12)


def test_batch_normalisation_couples_users_while_training_and_not_afterwards() -> None:
    gate, users = make("conv", "batch").double(), torch.randn(6, 64, dtype=torch.float64) * 4
    assert not torch.allclose(gate(users)[:2], gate(users[:2]), rtol=1e-3)
    gate.eval()
    assert torch.allclose(gate(users)[:2], gate(users[:2]), rtol=1e-12)


def test_the_router_has_the_number_of_parameters_of_the_release() -> None:
    assert sum(parameter.numel() for parameter in make("conv", "batch").parameters()) == 90_772


class Block(nn.Module):
    """A residual block built from modules, as an independent account of the router's shape."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm1d(channels)
        self.stride, self.extra = stride, channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride]
        zeros = shortcut.new_zeros(x.shape[0], self.extra // 2, shortcut.shape[2])
        hidden = self.second_norm(self.second(F.relu(self.first_norm(self.first(x)))))
        return F.relu(hidden + torch.cat([zeros, shortcut, zeros], dim=1))


def router_of_modules() -> nn.Sequential:
    blocks = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
    return nn.Sequential(
        nn.Unflatten(1, (1, -1)),
        nn.Conv1d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        *[Block(*sizes) for sizes in blocks],
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(64, 4),
        nn.Softmax(dim=1),
    )


def test_the_router_computes_what_its_description_says_in_training_and_afterwards() -> None:
    gate, reference = make("conv", "batch").double(), router_of_modules().double()
    convolutions = [module for module in reference.modules() if isinstance(module, nn.Conv1d)]
    norms = [module for module in reference.modules() if isinstance(module, nn.BatchNorm1d)]
    linear = next(module for module in reference.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        for index, (convolution, norm) in enumerate(zip(convolutions, norms, strict=True)):
            gate.get_parameter(f"norm{index}_weight").uniform_(0.5, 1.5)
            gate.get_parameter(f"norm{index}_bias").uniform_(-0.5, 0.5)
            convolution.weight.copy_(gate.get_parameter(f"conv{index}_weight"))
            norm.weight.copy_(gate.get_parameter(f"norm{index}_weight"))
            norm.bias.copy_(gate.get_parameter(f"norm{index}_bias"))
        linear.weight.copy_(gate.get_parameter("out_weight"))
        linear.bias.copy_(gate.get_parameter("out_bias"))
    users = torch.randn(6, 64, dtype=torch.float64) * 4

    assert torch.allclose(gate(users), reference(users), rtol=1e-12)
    for index, norm in enumerate(norms):
        assert torch.allclose(gate.get_buffer(f"norm{index}_running_mean"), norm.running_mean, rtol=1e-12)
        assert torch.allclose(gate.get_buffer(f"norm{index}_running_var"), norm.running_var, rtol=1e-12)
    assert torch.allclose(gate.eval()(users), reference.eval()(users), rtol=1e-12)


def test_autocast_does_not_reach_the_gate() -> None:
    gate, users = make("conv", "layer"), torch.randn(6, 64)
    plain = gate(users)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gate(users), plain)


def test_a_gate_in_half_precision_still_has_a_float32_softmax() -> None:
    assert make("mlp", "layer").bfloat16()(torch.randn(3, 64)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(6, 63), (64,), (6, 1, 64)])
def test_user_vectors_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GateShapeError, match=r"needs \(batch, 64\)"):
        make("linear", "layer")(torch.randn(shape))


@pytest.mark.parametrize(("kind", "norm"), KINDS)
def test_names_of_parameters_are_one_level_deep(kind: str, norm: str) -> None:
    assert [name for name in make(kind, norm).state_dict() if "." in name] == []


def test_every_parameter_of_every_gate_gets_a_gradient() -> None:
    for kind, norm in KINDS:
        gate = make(kind, norm)
        gate(torch.randn(6, 64) * 4)[:, 0].sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gate.parameters()), (kind, norm)


def test_the_reference_router_is_a_conv_gate() -> None:
    assert isinstance(make("share", "batch"), ConvGate)
