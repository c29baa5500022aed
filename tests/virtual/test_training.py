"""What training loops do: autocast with its cache, loss scaling, every kind of optimizer, accumulation, clipping."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from ilora_diag.schema import Category
from probes.virtual import Machine


def _made(card: Machine, begin: int, op: str) -> list[int]:
    """Sizes of what an operator allocated since `begin`."""
    return [card.ledger.sizes[n] for n in range(begin, len(card.ledger.sizes)) if card.ledger.ops[n].startswith(op)]


def _live(card: Machine, category: Category) -> list[int]:
    ledger = card.ledger
    return [n for n, kind in ledger.fixed.items() if kind is category and ledger.freed_in[n] is None]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_and_keeps_trainable_weights(card: Machine, dtype: torch.dtype) -> None:
    layer = nn.Linear(64, 64, bias=False).cuda()
    given = torch.randn(2, 64, device="cuda", dtype=dtype)
    for trainable, copies in ((True, 1), (False, 3)):
        layer.weight.requires_grad_(trainable)
        begin = len(card.ledger.sizes)
        with torch.autocast("cuda", dtype=dtype):
            for _ in range(3):
                assert layer(given).dtype is dtype
        assert _made(card, begin, "aten::_to_copy") == [64 * 64 * 2] * copies
    gc.collect()
    begin = len(card.ledger.sizes)
    with torch.autocast("cuda", dtype=dtype, cache_enabled=False):
        layer.weight.requires_grad_(True)
        layer(given), layer(given)
    assert len(_made(card, begin, "aten::_to_copy")) == 2


def test_autocast_follows_the_lists_of_cuda(card: Machine) -> None:
    with torch.autocast("cuda", dtype=torch.float16):
        half = torch.randn(4, 4, device="cuda", dtype=torch.float16)
        full = torch.randn(4, 4, device="cuda")
        assert (full @ full).dtype is torch.float16
        assert torch.softmax(half, -1).dtype is torch.float32
        assert nn.functional.layer_norm(half, (4,)).dtype is torch.float32
        assert half.exp().dtype is torch.float32
        assert half.sum().dtype is torch.float32
        assert (half + full).dtype is torch.float32
        assert torch.addcmul(half, half, full).dtype is torch.float32
        assert nn.functional.gelu(half).dtype is torch.float16
        assert nn.functional.mse_loss(half, full).dtype is torch.float32
        assert half.sum(dtype=torch.float16).dtype is torch.float16
        with torch.autocast("cuda", enabled=False):
            assert (full @ full).dtype is torch.float32
        with pytest.raises(RuntimeError, match="binary_cross_entropy"):
            nn.functional.binary_cross_entropy(torch.sigmoid(half), half)
        host = torch.ones(2, 2)
        assert (host @ host).dtype is torch.float32
    assert (full @ full).dtype is torch.float32


def test_the_cache_goes_with_its_block(card: Machine) -> None:
    layer = nn.Linear(64, 64).cuda()
    given = torch.randn(2, 64, device="cuda")
    gc.collect()
    before = torch.cuda.memory_allocated()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        with torch.no_grad():
            layer(given)
        assert torch.cuda.memory_allocated() >= before + 64 * 64 * 2
    workspaces = sum(card.ledger.sizes[n] for n in _live(card, Category.WORKSPACE))
    assert torch.cuda.memory_allocated() - before == workspaces


@pytest.mark.parametrize("api", ["torch.amp", "torch.cuda.amp"])
def test_loss_scaling_steps(card: Machine, tiny: Callable[..., nn.Module], api: str) -> None:
    model = tiny().cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cuda") if api == "torch.amp" else torch.cuda.amp.GradScaler()
    assert scaler.is_enabled()
    stepped = 0

    def count(*_: Any) -> None:
        nonlocal stepped
        stepped += 1

    optimizer.register_step_post_hook(count)
    ids = torch.arange(8).reshape(1, 8).cuda()
    for _ in range(3):
        with torch.autocast("cuda", dtype=torch.float16):
            loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    assert stepped == 3
    assert scaler.get_scale() == 65536.0
    assert any(state["momentum_buffer"].is_cuda for state in optimizer.state.values())


_OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], int]] = {
    "adamw": (lambda p: torch.optim.AdamW(p), 2),
    "adamw foreach": (lambda p: torch.optim.AdamW(p, foreach=True), 2),
    "adamw fused": (lambda p: torch.optim.AdamW(p, fused=True), 2),
    "adamw loop": (lambda p: torch.optim.AdamW(p, foreach=False), 2),
    "adamw capturable": (lambda p: torch.optim.AdamW(p, capturable=True), 2),
    "adam amsgrad": (lambda p: torch.optim.Adam(p, amsgrad=True), 3),
    "sgd": (lambda p: torch.optim.SGD(p, lr=0.1), 0),
    "sgd momentum": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 1),
    "sgd fused": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True), 1),
    "rmsprop": (lambda p: torch.optim.RMSprop(p), 1),
    "adagrad": (lambda p: torch.optim.Adagrad(p), 1),
    "radam": (lambda p: torch.optim.RAdam(p), 2),
    "nadam": (lambda p: torch.optim.NAdam(p), 2),
    "lion-like loop": (lambda p: torch.optim.Adamax(p), 2),
}


@pytest.mark.parametrize("name", _OPTIMIZERS)
def test_optimizers_keep_their_states(
    card: Machine, tiny: Callable[..., nn.Module], train: Callable[..., Any], name: str
) -> None:
    make, copies = _OPTIMIZERS[name]
    model = tiny().cuda()
    parameters = sum(parameter.nbytes for parameter in model.parameters())
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    live = _live(card, Category.OPTIMIZER_STATE)
    large = sum(card.ledger.sizes[n] for n in live if card.ledger.sizes[n] > 8)
    assert large == copies * parameters
    scalars = [n for n in live if card.ledger.sizes[n] <= 8]
    assert bool(scalars) == (name in ("adamw fused", "adamw capturable"))


def test_adafactor_keeps_rows_and_columns(
    card: Machine, train: Callable[..., Any], tiny: Callable[..., nn.Module]
) -> None:
    model = tiny().cuda()
    optimizer = torch.optim.Adafactor(model.parameters())
    train(model, optimizer, 2)
    states = sum(card.ledger.sizes[n] for n in _live(card, Category.OPTIMIZER_STATE))
    factored = sum(
        4 * (sum(parameter.shape) if parameter.dim() > 1 else parameter.numel()) for parameter in model.parameters()
    )
    assert states == factored


def test_adafactor_of_transformers(card: Machine, train: Callable[..., Any], tiny: Callable[..., nn.Module]) -> None:
    optimization = pytest.importorskip("transformers.optimization")
    model = tiny().cuda()
    train(model, optimization.Adafactor(model.parameters(), scale_parameter=True, relative_step=True), 2)
    assert Category.OPTIMIZER_STATE in card.ledger.fixed.values()


def test_the_peak_of_foreach_is_higher_than_that_of_the_loop(card: Machine) -> None:
    peaks = {}
    for foreach in (True, False):
        model = nn.Sequential(*(nn.Linear(256, 256) for _ in range(8))).cuda()
        optimizer = torch.optim.AdamW(model.parameters(), foreach=foreach)
        for _ in range(2):
            model(torch.ones(1, 256, device="cuda")).sum().backward()
            torch.cuda.reset_peak_memory_stats()
            optimizer.step()
            optimizer.zero_grad()
        peaks[foreach] = torch.cuda.max_memory_allocated()
        del model, optimizer
        gc.collect()
    weights = 8 * 256 * 256 * 4
    assert peaks[True] - peaks[False] > 0.7 * weights


def test_accumulated_gradients_stay(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny().cuda()
    ids = torch.arange(8).reshape(1, 8).cuda()
    model(ids).sum().backward()
    first = torch.cuda.memory_allocated()
    addresses = [parameter.grad.data_ptr() for parameter in model.parameters() if parameter.grad is not None]
    for _ in range(3):
        (model(ids).sum() / 4).backward()
    assert torch.cuda.memory_allocated() == first
    assert addresses == [p.grad.data_ptr() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=False)
    assert torch.cuda.memory_allocated() == first
    model.zero_grad()
    assert torch.cuda.memory_allocated() < first


def test_clipping_gives_a_norm_on_the_card(card: Machine, tiny: Callable[..., nn.Module]) -> None:
    model = tiny().cuda()
    model(torch.zeros(1, 4, dtype=torch.long, device="cuda")).sum().backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert norm.is_cuda
    nn.utils.clip_grad_value_(model.parameters(), 0.5)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=False, error_if_nonfinite=True)


def test_schedulers_and_moving_averages(
    card: Machine, tiny: Callable[..., nn.Module], train: Callable[..., Any]
) -> None:
    model = tiny().cuda()
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    train(model, optimizer, 1)
    scheduler.step()
    average.update_parameters(model)
    assert all(parameter.is_cuda for parameter in average.parameters())


def test_gradients_of_gradients(card: Machine) -> None:
    given = torch.randn(3, device="cuda", requires_grad=True)
    (first,) = torch.autograd.grad((given**3).sum(), given, create_graph=True)
    first.sum().backward()
    assert given.grad is not None
    assert torch.func.grad(lambda value: (value**2).sum())(given.detach()).is_cuda


def test_loading_data_stays_on_the_host(card: Machine) -> None:
    class Numbers(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 8

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"ids": torch.full((3,), index), "weight": float(index)}

    for workers, pinned in ((0, False), (0, True), (2, True)):
        loader = torch.utils.data.DataLoader(
            Numbers(), batch_size=4, num_workers=workers, pin_memory=pinned, shuffle=True
        )
        seen = []
        for batch in loader:
            assert batch["ids"].device.type == "cpu"
            ids = batch["ids"].to("cuda", non_blocking=True)
            seen += ids[:, 0].tolist()
            assert batch["weight"].cuda().sum().item() == sum(ids[:, 0].tolist())
        assert sorted(seen) == list(range(8))
