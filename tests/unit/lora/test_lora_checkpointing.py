"""Gradient checkpointing is exact with gates, in each situation where shared state is known to go wrong."""

from __future__ import annotations

import copy
import gc
import threading
import warnings
import weakref
from collections.abc import Callable

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, noop_context_fn
from transformers import PreTrainedModel

from ilora.lora import (
    MoeLoraConfig,
    RecomputeError,
    ReentrantCheckpointError,
    gate_context,
    merge_with_gates,
    use_gates,
    use_users,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")

USER_SIZE = 10
GATES = ["conv", "mlp", "per_layer_mlp"]
Gradients = dict[str, Tensor]


class Fixture:
    """A tiny adapted Llama and two batches with their users."""

    def __init__(
        self, make_llama: Callable[..., PreTrainedModel], randomise_b: Callable[[nn.Module], None], gate: str = "conv"
    ) -> None:
        config = MoeLoraConfig(r=4, num_experts=2, gate=gate, user_size=USER_SIZE, target_modules="all-linear")
        self.base = make_llama(num_layers=3)
        self.model: PeftModel = get_peft_model(self.base, config).double().train()
        randomise_b(self.model)
        torch.manual_seed(1)
        self.ids = torch.randint(0, 50, (2, 2, 6))
        self.users = torch.randn(2, 2, USER_SIZE, dtype=torch.float64) * 4

    def loss(self, batch: int = 0) -> Tensor:
        with use_users(self.model, self.users[batch]):
            loss: Tensor = self.model(input_ids=self.ids[batch], labels=self.ids[batch], use_cache=False).loss
        return loss

    def gradients(self, run: Callable[[], None]) -> Gradients:
        """Gradients of everything trainable after `run`."""
        self.model.zero_grad(set_to_none=True)
        run()
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        assert all(p.grad is not None for p in trainable.values())
        return {name: p.grad.clone() for name, p in trainable.items() if p.grad is not None}

    def both_ways(self, run: Callable[[], None]) -> tuple[Gradients, Gradients]:
        """Gradients of `run` without and with checkpointing."""
        plain = self.gradients(run)
        self.model.gradient_checkpointing_enable({"use_reentrant": False})
        return plain, self.gradients(run)


@pytest.fixture(params=GATES)
def fixture(
    request: pytest.FixtureRequest,
    make_llama: Callable[..., PreTrainedModel],
    randomise_b: Callable[[nn.Module], None],
) -> Fixture:
    return Fixture(make_llama, randomise_b, request.param)


@pytest.fixture
def conv(make_llama: Callable[..., PreTrainedModel], randomise_b: Callable[[nn.Module], None]) -> Fixture:
    return Fixture(make_llama, randomise_b)


def assert_equal(plain: Gradients, checkpointed: Gradients) -> None:
    """Bit for bit: recomputation repeats the same operations on the same numbers."""
    assert plain.keys() == checkpointed.keys()
    differing = {name for name, grad in plain.items() if not torch.equal(grad, checkpointed[name])}
    assert differing == set()


def test_one_forward_one_backward(fixture: Fixture) -> None:
    assert_equal(*fixture.both_ways(lambda: fixture.loss().backward()))


def test_two_forwards_before_one_backward(fixture: Fixture) -> None:
    assert_equal(*fixture.both_ways(lambda: (fixture.loss(0) + fixture.loss(1)).backward()))


def test_evaluation_between_forward_and_backward(fixture: Fixture) -> None:
    def run() -> None:
        loss = fixture.loss(0)
        fixture.model.eval()
        with torch.no_grad():
            fixture.loss(1)
            with use_gates(fixture.model, torch.tensor([[0.0, 1.0]])):
                fixture.model(input_ids=fixture.ids[1])
        fixture.model.train()
        loss.backward()

    assert_equal(*fixture.both_ways(run))


def test_backward_while_other_gates_are_in_use(fixture: Fixture) -> None:
    def run() -> None:
        loss = fixture.loss(0)
        with use_users(fixture.model, fixture.users[1]):
            loss.backward()

    assert_equal(*fixture.both_ways(run))


def test_recomputation_on_another_thread(fixture: Fixture) -> None:
    def run() -> None:
        loss = fixture.loss(0)
        thread = threading.Thread(target=loss.backward)
        with use_users(fixture.model, fixture.users[1]):
            thread.start()
            thread.join()

    assert_equal(*fixture.both_ways(run))


def test_backward_twice_over_a_retained_graph(fixture: Fixture) -> None:
    def run() -> None:
        loss = fixture.loss()
        loss.backward(retain_graph=True)
        loss.backward()

    plain, checkpointed = fixture.both_ways(run)
    assert_equal(plain, checkpointed)
    once = fixture.gradients(lambda: fixture.loss().backward())
    assert all(torch.allclose(grad, 2 * once[name], rtol=1e-12) for name, grad in plain.items())


def test_forwards_and_backwards_of_two_threads_at_once(fixture: Fixture) -> None:
    leaves = [p for p in fixture.model.parameters() if p.requires_grad]
    expected = [torch.autograd.grad(fixture.loss(batch), leaves) for batch in (0, 1)]
    fixture.model.gradient_checkpointing_enable({"use_reentrant": False})
    barrier = threading.Barrier(2)
    found: dict[int, tuple[Tensor, ...]] = {}

    def work(batch: int) -> None:
        barrier.wait(timeout=10)
        for _ in range(3):
            found[batch] = torch.autograd.grad(fixture.loss(batch), leaves)

    threads = [threading.Thread(target=work, args=(batch,)) for batch in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for batch in (0, 1):
        assert all(map(torch.equal, found[batch], expected[batch]))


def test_dropout_repeats_its_mask_when_recomputed(
    make_llama: Callable[..., PreTrainedModel], randomise_b: Callable[[nn.Module], None]
) -> None:
    fixture = Fixture(make_llama, randomise_b)
    for module in fixture.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.3

    def run() -> None:
        torch.manual_seed(5)
        fixture.loss().backward()

    assert_equal(*fixture.both_ways(run))


def test_every_layer_is_recomputed_and_only_then(conv: Fixture) -> None:
    calls: list[int] = []
    layer = conv.base.model.layers[1].self_attn.q_proj
    layer.register_forward_hook(lambda *_: calls.append(1))
    conv.loss().backward()
    plain = len(calls)
    conv.model.gradient_checkpointing_enable()
    conv.loss().backward()
    assert (plain, len(calls) - plain) == (1, 2)


@pytest.mark.parametrize("kwargs", [{}, {"every_n_layers": 2}])
@pytest.mark.parametrize("arguments", [(), (None,), ({},), ({"preserve_rng_state": False},)])
def test_enabling_on_either_model_with_any_arguments_carries_the_gates(
    conv: Fixture, arguments: tuple[object, ...], kwargs: dict[str, int]
) -> None:
    def run() -> None:
        (conv.loss(0) + conv.loss(1)).backward()

    plain = conv.gradients(run)
    for model in (conv.model, conv.base):
        model.gradient_checkpointing_enable(*arguments, **kwargs)
        assert_equal(plain, conv.gradients(run))
        model.gradient_checkpointing_disable()
    assert_equal(plain, conv.gradients(run))


def test_enabling_on_a_part_of_the_model_carries_the_gates(conv: Fixture) -> None:
    plain = conv.gradients(lambda: conv.loss().backward())
    conv.base.model.gradient_checkpointing_enable()
    assert_equal(plain, conv.gradients(lambda: conv.loss().backward()))


def test_checkpointing_that_was_on_before_carries_the_gates(
    make_llama: Callable[..., PreTrainedModel], randomise_b: Callable[[nn.Module], None]
) -> None:
    def make() -> PreTrainedModel:
        base = make_llama(num_layers=3)
        base.gradient_checkpointing_enable()
        return base

    before = Fixture(lambda **_: make(), randomise_b)
    after = Fixture(make_llama, randomise_b)

    def run(fixture: Fixture) -> Callable[[], None]:
        return lambda: (fixture.loss(0) + fixture.loss(1)).backward()

    assert before.base.is_gradient_checkpointing
    router = after.model.base_model.lora_router.state_dict()
    before.model.load_state_dict(after.model.state_dict())
    assert router.keys() == before.model.base_model.lora_router.state_dict().keys()
    assert_equal(after.gradients(run(after)), before.gradients(run(before)))


def test_a_context_fn_of_the_callers_own_is_kept(conv: Fixture) -> None:
    calls: list[int] = []

    def context_fn() -> object:
        calls.append(1)
        return noop_context_fn()

    plain = conv.gradients(lambda: conv.loss().backward())
    conv.model.gradient_checkpointing_enable({"use_reentrant": False, "context_fn": context_fn})
    assert_equal(plain, conv.gradients(lambda: conv.loss().backward()))
    assert len(calls) == 3


def test_asking_for_the_reentrant_form_is_refused_with_the_reason(conv: Fixture) -> None:
    for model in (conv.model, conv.base, conv.base.model):
        with pytest.raises(ReentrantCheckpointError, match="second time"):
            model.gradient_checkpointing_enable({"use_reentrant": True})
    assert not conv.base.is_gradient_checkpointing


def test_a_model_with_the_reentrant_form_on_is_refused_untouched(make_llama: Callable[..., PreTrainedModel]) -> None:
    base = make_llama()
    base.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(ReentrantCheckpointError, match="second time"):
        get_peft_model(base, MoeLoraConfig())
    assert [name for name, _ in base.named_parameters() if "lora" in name] == []


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpoint_that_knows_no_gates_is_refused_when_it_recomputes(conv: Fixture, reentrant: bool) -> None:
    layer = conv.base.model.layers[0].mlp
    x = torch.randn(2, 6, 32, dtype=torch.float64, requires_grad=True)
    with use_users(conv.model, conv.users[0]):
        output = checkpoint(layer, x, use_reentrant=reentrant)
        with pytest.raises(RecomputeError, match="context_fn=gate_context"):
            output.sum().backward()


def test_a_checkpoint_of_ones_own_works_with_the_context_fn_the_error_names(conv: Fixture) -> None:
    layer = conv.base.model.layers[0].mlp
    x = torch.randn(2, 6, 32, dtype=torch.float64, requires_grad=True)
    with use_users(conv.model, conv.users[0]):
        (plain,) = torch.autograd.grad(layer(x).sum(), [x])
        contexts = gate_context(conv.model).checkpoint_contexts
        output = checkpoint(layer, x, use_reentrant=False, context_fn=contexts)
    (ours,) = torch.autograd.grad(output.sum(), [x])
    assert torch.equal(plain, ours)


def test_a_copy_of_the_model_checkpoints_with_gates_of_its_own(conv: Fixture) -> None:
    conv.model.gradient_checkpointing_enable()
    clone = copy.deepcopy(conv.model)
    expected = conv.gradients(lambda: conv.loss().backward())
    original, conv.model = conv.model, clone
    assert gate_context(clone) is not gate_context(original)
    with pytest.raises(ReentrantCheckpointError):
        clone.gradient_checkpointing_enable({"use_reentrant": True})
    clone.gradient_checkpointing_disable()
    clone.gradient_checkpointing_enable()
    assert original.base_model.model.is_gradient_checkpointing
    assert_equal(expected, conv.gradients(lambda: conv.loss().backward()))


def test_a_model_without_adapters_again_takes_either_form(conv: Fixture) -> None:
    base = conv.model.unload()
    base.gradient_checkpointing_enable({"use_reentrant": True})
    assert base.is_gradient_checkpointing


def test_a_deleted_model_is_gone_at_once(make_llama: Callable[..., PreTrainedModel]) -> None:
    model = get_peft_model(make_llama(), MoeLoraConfig())
    model.gradient_checkpointing_enable()
    parameter = weakref.ref(model.base_model.model.lm_head.weight)
    gc.disable()
    try:
        del model
        assert parameter() is None
    finally:
        gc.enable()


def test_merged_layers_recompute_without_gates(conv: Fixture) -> None:
    merge_with_gates(conv.model, torch.tensor([0.5, 0.5]))
    conv.model.gradient_checkpointing_enable()
    embeddings = conv.base.get_input_embeddings()(conv.ids[0]).detach().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conv.base(inputs_embeds=embeddings, use_cache=False).logits.sum().backward()
    assert embeddings.grad is not None
