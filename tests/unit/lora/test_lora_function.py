"""The gated update: equal to the formula, gradients included, and never larger than it needs to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ilora.lora.function import gated_update

B, S, IN, OUT, RANK = 3, 5, 12, 20, 8
SCALING = 16.0


class Problem:
    """Leaves of one update, and both ways to compute it."""

    def __init__(self, num_experts: int = 4, dtype: torch.dtype = torch.float64, num_gates: int = B) -> None:
        torch.manual_seed(num_experts)
        self.x = torch.randn(B, S, IN, dtype=dtype, requires_grad=True)
        self.base = torch.randn(B, S, OUT, dtype=dtype)
        self.grad = torch.randn(B, S, OUT, dtype=dtype)
        master = torch.promote_types(dtype, torch.float32)
        self.lora_a = torch.randn(RANK, IN, dtype=master, requires_grad=True)
        self.lora_b = torch.randn(OUT, RANK, dtype=master, requires_grad=True)
        self.gates = torch.rand(num_gates, num_experts, dtype=master).softmax(dim=1).requires_grad_()

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        return self.x, self.lora_a, self.lora_b, self.gates

    def fused(self, dropout: float = 0.0) -> Tensor:
        base = self.base.clone().view(B * S, OUT)
        rows = self.x.view(B * S, IN)
        weights = (self.lora_a, self.lora_b, self.gates)
        return gated_update(base, rows, *weights, scaling=SCALING, dropout=dropout).view(B, S, OUT)

    def gradients(self, output: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(output, self.leaves, self.grad.to(output.dtype))


def assert_close(actual: Sequence[Tensor], expected: Sequence[Tensor], tolerance: float) -> None:
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours.double() - theirs.double()).abs().max() <= tolerance * theirs.double().abs().max()


@pytest.mark.parametrize("num_experts", [1, 2, 4, 8])
def test_update_and_every_gradient_equal_the_per_expert_formula(
    num_experts: int, per_expert_update: Callable[..., Tensor]
) -> None:
    problem = Problem(num_experts)

    fused = problem.fused()
    expected = per_expert_update(problem.base.clone(), *problem.leaves, scaling=SCALING)

    assert_close([fused], [expected], 1e-12)
    assert_close(problem.gradients(fused), problem.gradients(expected), 1e-12)


def test_gradients_pass_the_numerical_check() -> None:
    problem = Problem()
    leaves = (problem.base.view(B * S, OUT).requires_grad_(), problem.x.detach().view(B * S, IN).requires_grad_())
    leaves += (problem.lora_a, problem.lora_b, problem.gates)

    def update(base: Tensor, *rest: Tensor) -> Tensor:
        return gated_update(base.clone(), *rest, scaling=SCALING, dropout=0.0)

    assert torch.autograd.gradcheck(update, leaves, fast_mode=True)


def test_one_row_of_gates_serves_every_sample(per_expert_update: Callable[..., Tensor]) -> None:
    problem = Problem(num_gates=1)

    fused = problem.fused()
    spread = (*problem.leaves[:3], problem.gates.expand(B, -1))
    expected = per_expert_update(problem.base.clone(), *spread, scaling=SCALING)

    assert_close([fused], [expected], 1e-12)
    assert_close(problem.gradients(fused), problem.gradients(expected), 1e-12)


def test_dropout_drops_the_same_elements_forward_and_backward(per_expert_update: Callable[..., Tensor]) -> None:
    problem, dropout = Problem(), 0.3
    torch.manual_seed(11)
    fused = problem.fused(dropout)
    # The mask by its definition: one Bernoulli draw per element of x, the first numbers the generator gives.
    torch.manual_seed(11)
    mask = torch.empty(B * S, IN, dtype=torch.bool).bernoulli_(1 - dropout).view(B, S, IN)
    assert 0 < mask.sum() < mask.numel()

    dropped = problem.x * mask / (1 - dropout)
    expected = per_expert_update(problem.base.clone(), dropped, *problem.leaves[1:], scaling=SCALING)

    assert_close([fused], [expected], 1e-12)
    assert_close(problem.gradients(fused), problem.gradients(expected), 1e-12)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (3,), (0, 1), (1, 2), (0, 1, 2), (1, 2, 3)])
def test_freezing_some_inputs_leaves_the_other_gradients_alone(frozen: tuple[int, ...]) -> None:
    problem = Problem()
    expected = problem.gradients(problem.fused())
    for index in frozen:
        problem.leaves[index].requires_grad_(False)
    live = [index for index in range(4) if index not in frozen]

    gradients = torch.autograd.grad(problem.fused(), [problem.leaves[index] for index in live], problem.grad)

    assert_close(gradients, [expected[index] for index in live], 0.0)


def test_a_second_derivative_is_refused_instead_of_wrong() -> None:
    problem = Problem()
    (grad_x,) = torch.autograd.grad(problem.fused().square().sum(), [problem.x], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad_x.sum().backward()


class Allocations(TorchDispatchMode):
    """Every tensor an operator returns: (number of elements, type)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, torch.dtype]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.seen.append((tensor.numel(), tensor.dtype))
        return result

    @property
    def largest(self) -> int:
        return max(size for size, _ in self.seen)


def test_nothing_of_the_size_of_all_experts_outputs_is_made(per_expert_update: Callable[..., Tensor]) -> None:
    problem = Problem(num_experts=4)
    limit = B * S * 4 * OUT
    assert limit > max(OUT * RANK, B * S * OUT, B * S * IN, IN * RANK)  # nothing else is that large

    with Allocations() as ours:
        problem.gradients(problem.fused())
    with Allocations() as formula:
        problem.gradients(per_expert_update(problem.base.clone(), *problem.leaves, scaling=SCALING))

    assert ours.largest < limit
    assert formula.largest >= limit  # so the instrument sees what it is meant to see


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_only_x_and_small_tensors_are_saved(dropout: float) -> None:
    problem = Problem(dtype=torch.float32)
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        problem.fused(dropout)

    known = {leaf.untyped_storage().data_ptr() for leaf in problem.leaves}
    extra = sum(t.untyped_storage().nbytes() for t in saved if t.untyped_storage().data_ptr() not in known)
    mask_bytes = B * S * IN if dropout else 0
    assert problem.x.untyped_storage().data_ptr() in {t.untyped_storage().data_ptr() for t in saved}
    assert extra == RANK * B * S * 4 + mask_bytes


def test_half_precision_never_widens_an_activation() -> None:
    problem = Problem(dtype=torch.bfloat16)
    activations = {B * S * IN, B * S * OUT}
    assert B * S * RANK not in activations

    with Allocations() as seen:
        gradients = problem.gradients(problem.fused())

    assert [size for size, dtype in seen.seen if size in activations and dtype == torch.float32] == []
    assert [g.dtype for g in gradients] == [torch.bfloat16, torch.float32, torch.float32, torch.float32]


def test_half_precision_agrees_with_double_precision_to_its_rounding(per_expert_update: Callable[..., Tensor]) -> None:
    problem = Problem(dtype=torch.bfloat16)
    exact = Problem()
    for wide, narrow in zip(exact.leaves, problem.leaves, strict=True):
        wide.data = narrow.detach().double()
    exact.base, exact.grad = problem.base.double(), problem.grad.double()
    expected = per_expert_update(exact.base.clone(), *exact.leaves, scaling=SCALING)

    fused = problem.fused()

    assert_close([fused], [expected], 0.02)
    assert_close(problem.gradients(fused), exact.gradients(expected), 0.02)


def test_under_autocast_the_input_is_not_copied_to_half_precision() -> None:
    problem = Problem(dtype=torch.float32)
    problem.base = problem.base.bfloat16()

    with Allocations() as seen, torch.autocast("cpu", dtype=torch.bfloat16):
        output = problem.fused()
        gradients = problem.gradients(output)

    assert output.dtype == torch.bfloat16
    assert [size for size, dtype in seen.seen if size == B * S * IN and dtype == torch.bfloat16] == []
    assert [g.dtype for g in gradients] == [torch.float32] * 4
