"""The adapted layer around different base layers and inputs."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ilora.lora import (
    GateContext,
    GateMissingError,
    GateShapeError,
    Linear,
    MergeNeedsGatesError,
    MoeLoraConfig,
    UnsupportedLayerError,
)

B, S, IN, OUT = 3, 5, 12, 20
CONFIG = MoeLoraConfig(r=8, num_experts=4, lora_alpha=32.0, gate="external", target_modules=["x"])


def adapted(base: nn.Module, config: MoeLoraConfig = CONFIG) -> tuple[Linear, GateContext]:
    """A layer with a lora_B that does something, in float64."""
    torch.manual_seed(1)
    gates = GateContext()
    layer = Linear(base.requires_grad_(False), "default", config, gates).double()
    with torch.no_grad():
        layer.lora_B["default"].weight.normal_()
    return layer, gates


def expected(layer: Linear, x: Tensor, gates: Tensor, base: Tensor) -> Tensor:
    """base + the update, by the weight each sample would have if its gates were merged."""
    updates = torch.stack([layer._update("default", row) for row in gates])
    return base + torch.einsum("b...i,boi->b...o", x, updates)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(B, IN), (B, S, IN), (B, 2, S, IN)])
def test_output_is_base_plus_update_for_any_number_of_dimensions(shape: tuple[int, ...], bias: bool) -> None:
    layer, context = adapted(nn.Linear(IN, OUT, bias=bias))
    x, gates = torch.randn(shape, dtype=torch.float64), torch.rand(B, 4, dtype=torch.float64)
    with context.use(gates):
        output = layer(x)
    assert output.shape == (*shape[:-1], OUT)
    assert torch.allclose(output, expected(layer, x, gates, layer.base_layer(x)), rtol=1e-12, atol=1e-12)


def test_flattened_tokens_get_their_samples_gates() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    x, gates = torch.randn(B, S, IN, dtype=torch.float64), torch.rand(B, 4, dtype=torch.float64)
    with context.use(gates):
        assert torch.equal(layer(x.reshape(B * S, IN)).view(B, S, OUT), layer(x))


def test_inputs_that_are_not_contiguous_give_the_same() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    x = torch.randn(S, B, IN, dtype=torch.float64).transpose(0, 1).requires_grad_()
    with context.use(torch.rand(B, 4, dtype=torch.float64)):
        assert torch.allclose(layer(x), layer(x.contiguous()), rtol=1e-13)
        layer(x).sum().backward()
    assert x.grad is not None


def test_backward_does_not_go_through_a_view_of_the_output() -> None:
    layer, context = adapted(nn.Linear(IN, OUT, bias=True))
    with context.use(torch.rand(B, 4, dtype=torch.float64)):
        output = layer(torch.randn(B, S, IN, dtype=torch.float64, requires_grad=True))
    names, node = [], output.grad_fn
    while node is not None:
        names.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    assert "AddmmBackward0" in names
    assert {"CopySlices", "CloneBackward0"}.isdisjoint(names)  # they would copy the whole gradient, or the output


def test_the_base_weight_is_neither_copied_nor_moved() -> None:
    base = nn.Linear(IN, OUT)
    pointer = base.weight.data_ptr()
    layer = Linear(base, "default", CONFIG, GateContext())
    assert layer.weight.data_ptr() == pointer
    assert layer.base_layer is base


def test_adapter_weights_stay_float32_over_a_half_precision_base() -> None:
    layer = Linear(nn.Linear(IN, OUT, dtype=torch.bfloat16), "default", CONFIG, GateContext())
    assert {p.dtype for p in layer.parameters() if p.requires_grad and p is not layer.base_layer.weight} >= {
        torch.float32
    }
    assert layer.lora_A["default"].weight.dtype == layer.lora_B["default"].weight.dtype == torch.float32
    with layer.gates.use(torch.rand(B, 4)):
        assert layer(torch.randn(B, S, IN, dtype=torch.bfloat16)).dtype == torch.bfloat16


class Int8Linear(nn.Module):
    """A base layer that is no nn.Linear and has no floating-point weight, as quantised wrappers are."""

    def __init__(self) -> None:
        super().__init__()
        self.in_features, self.out_features = IN, OUT
        self.register_buffer("weight", torch.randint(-128, 127, (OUT, IN), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype) / 127)


class KeepsItsOutput(nn.Module):
    """A base layer whose output autograd has saved: writing to it would break its backward."""

    def __init__(self) -> None:
        super().__init__()
        self.in_features, self.out_features = IN, OUT
        self.inner = nn.Linear(IN, OUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x).sigmoid()


@pytest.mark.parametrize("make", [Int8Linear, KeepsItsOutput])
def test_any_module_with_the_interface_of_linear_is_wrapped_by_composition(make: type[nn.Module]) -> None:
    base = make()
    layer, context = adapted(base)
    x = torch.randn(B, S, IN, dtype=torch.float64, requires_grad=True)
    gates = torch.rand(B, 4, dtype=torch.float64)
    with context.use(gates):
        output = layer(x)
    reference = expected(layer, x, gates, base(x))
    assert torch.allclose(output, reference, rtol=1e-12, atol=1e-12)
    (ours,) = torch.autograd.grad(output.square().sum(), [x])
    (theirs,) = torch.autograd.grad(reference.square().sum(), [x])
    assert torch.allclose(ours, theirs, rtol=1e-10)


def test_a_hook_on_the_base_layer_sees_the_base_layers_output() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    seen: list[Tensor] = []
    layer.base_layer.register_forward_hook(lambda _module, _args, output: seen.append(output))
    x = torch.randn(B, S, IN, dtype=torch.float64)
    with context.use(torch.rand(B, 4, dtype=torch.float64)):
        layer(x)
    assert torch.equal(seen[0], F.linear(x, layer.base_layer.weight, layer.base_layer.bias))


def test_full_backward_hooks_on_the_base_layer_work() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    fired: list[bool] = []
    layer.base_layer.register_full_backward_hook(lambda *_: fired.append(True))
    x = torch.randn(B, S, IN, dtype=torch.float64, requires_grad=True)
    with context.use(torch.rand(B, 4, dtype=torch.float64)):
        layer(x).sum().backward()
    assert fired == [True]


def test_an_out_of_memory_error_passes_through() -> None:
    class Exhausted(Int8Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    layer, context = adapted(Exhausted())
    with context.use(torch.rand(B, 4)), pytest.raises(torch.OutOfMemoryError, match=r"Tried to allocate 2\.00 GiB"):
        layer(torch.randn(B, S, IN, dtype=torch.float64))


def test_a_forward_without_gates_says_how_to_give_them() -> None:
    layer, _ = adapted(nn.Linear(IN, OUT))
    with pytest.raises(GateMissingError, match=r"with use_users\(model, users\)"):
        layer(torch.randn(B, S, IN, dtype=torch.float64))


def test_gates_of_another_batch_are_refused_with_both_shapes_and_the_way_out() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    beams = torch.randn(4 * B, S, IN, dtype=torch.float64)
    with context.use(torch.rand(B, 4)), pytest.raises(GateShapeError) as caught:
        layer(beams)
    assert f"{B} samples" in str(caught.value)
    assert str((4 * B, S, IN)) in str(caught.value)
    assert "repeat_interleave(n, dim=0)" in str(caught.value)


def test_gates_for_another_number_of_experts_are_refused() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    with context.use(torch.rand(B, 3)), pytest.raises(GateShapeError, match=r"\(3, 3\); needed is \(batch, 4\)"):
        layer(torch.randn(B, S, IN, dtype=torch.float64))


def test_flattened_tokens_of_another_batch_are_refused() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    with context.use(torch.rand(B, 4)), pytest.raises(GateShapeError, match="3 samples"):
        layer(torch.randn(B * S + 1, IN, dtype=torch.float64))


@pytest.mark.parametrize("base", [Conv1D(OUT, IN), nn.Embedding(IN, OUT), nn.Conv1d(IN, OUT, 1)])
def test_layers_that_are_not_linear_are_refused_by_name(base: nn.Module) -> None:
    with pytest.raises(UnsupportedLayerError, match=type(base).__name__):
        Linear(base, "default", CONFIG, GateContext())


def test_merging_needs_gates() -> None:
    layer, _ = adapted(nn.Linear(IN, OUT))
    with pytest.raises(MergeNeedsGatesError, match="merge_with_gates"):
        layer.merge()


def test_a_merged_layer_answers_as_with_those_gates_and_needs_none() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    x, gates = torch.randn(B, S, IN, dtype=torch.float64), torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    before = layer.weight.clone()
    with context.use(gates.unsqueeze(0)):
        gated = layer(x)

    layer.merge(gates=gates)
    merged = layer(x)
    layer.unmerge()

    assert torch.allclose(merged, gated, rtol=1e-12, atol=1e-12)
    assert torch.allclose(layer.weight, before, rtol=0, atol=1e-14 * 100)
    assert not layer.merged


def test_merging_twice_changes_nothing_more() -> None:
    layer, _ = adapted(nn.Linear(IN, OUT))
    layer.merge(gates=torch.ones(4))
    once = layer.weight.clone()
    layer.merge(gates=torch.ones(4))
    assert torch.equal(layer.weight, once)


def test_a_safe_merge_refuses_values_that_are_not_finite() -> None:
    layer, _ = adapted(nn.Linear(IN, OUT))
    before = layer.weight.clone()
    with pytest.raises(ValueError, match="not finite"):
        layer.merge(safe_merge=True, gates=torch.full((4,), float("inf")))
    assert torch.equal(layer.weight, before)


def test_a_quantised_weight_cannot_be_merged_into() -> None:
    layer, _ = adapted(Int8Linear())
    with pytest.raises(UnsupportedLayerError, match="unquantised"):
        layer.merge(gates=torch.ones(4))


def test_gates_to_merge_must_be_one_per_expert() -> None:
    layer, _ = adapted(nn.Linear(IN, OUT))
    with pytest.raises(GateShapeError, match=r"needed is \(4,\)"):
        layer.merge(gates=torch.ones(2, 4))


def test_copies_and_pickles_of_layers_share_a_new_context() -> None:
    first, context = adapted(nn.Linear(IN, OUT))
    pair = nn.ModuleList([first, Linear(nn.Linear(IN, OUT), "default", CONFIG, context)])
    for clone in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert clone[0].gates is clone[1].gates
        assert clone[0].gates is not context


def test_a_gateless_adapter_refuses_user_vectors() -> None:
    layer, context = adapted(nn.Linear(IN, OUT))
    with context.use(users=torch.randn(B, 64)), pytest.raises(GateShapeError, match="have no gates"):
        layer(torch.randn(B, S, IN, dtype=torch.float64))
