"""Compiled layers: one graph, gates read at every call and never frozen into it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ilora.lora import GateContext, GateMissingError, Linear, MoeLoraConfig

pytestmark = pytest.mark.slow


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    torch._dynamo.reset()
    config = MoeLoraConfig(r=4, num_experts=2, gate="external", target_modules=["x"])
    made = Linear(nn.Linear(6, 5).requires_grad_(False), "default", config, GateContext())
    nn.init.normal_(made.lora_B["default"].weight)
    return made


def test_a_compiled_layer_is_one_graph_and_follows_the_gates_in_use(layer: Linear) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 4, 6)
    for _ in range(3):
        gates = torch.rand(3, 2, requires_grad=True)
        with layer.gates.use(gates):
            eager_output, output = layer(x), compiled(x)
        assert torch.equal(output, eager_output)
        leaves = [gates, layer.lora_A["default"].weight, layer.lora_B["default"].weight]
        for ours, theirs in zip(
            torch.autograd.grad(output.sum(), leaves), torch.autograd.grad(eager_output.sum(), leaves), strict=True
        ):
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_compiled_layer_without_gates_says_so(layer: Linear) -> None:
    with pytest.raises(GateMissingError):
        torch.compile(layer, backend="eager")(torch.randn(3, 4, 6))
