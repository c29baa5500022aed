"""freeze_base and stateless_optimizer: what is trained, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from ilora_diag.bisect.catalogue import BESIDE_ADAPTERS
from probes.interventions.act import Act

_ADAPTER = ("lora_", "adapter", "prompt_", "ia3_", "modules_to_save", "vera_", "oft_", "prefix_encoder")


def stateless_optimizer(act: Act) -> None:
    """Take plain SGD steps where an optimizer would keep states: the same parameters, the same learning rates."""
    replaced: set[type] = set()

    def made(optimizer: Optimizer, params: list[Any]) -> list[Any]:
        kind: Any = type(optimizer)
        if not _has_state(kind):
            return params
        act.met(kind.__name__)
        if act.is_applied and kind not in replaced:
            replaced.add(kind)
            act.seams.patches.replace(kind, "step", _plain_step)
        return params

    act.seams.on_optimizer(made)


def _has_state(kind: type) -> bool:
    return not issubclass(kind, (torch.optim.SGD, torch.optim.LBFGS))


@torch.no_grad()
def _plain_step(optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
    """`p -= lr * p.grad`, in place."""
    loss = None
    if closure is not None:
        with torch.enable_grad():
            loss = closure()
    for group in optimizer.param_groups:
        lists: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                weights, grads = lists.setdefault((parameter.device, parameter.dtype), ([], []))
                weights.append(parameter)
                grads.append(parameter.grad)
        for weights, grads in lists.values():
            torch._foreach_add_(weights, grads, alpha=-float(group["lr"]))
    return loss


def freeze_base(act: Act) -> None:
    """Leave to an optimizer the adapters and heads of transformers' models; what is under them trains no longer.

    Adapters are known by PEFT's names for them, a head by standing outside the part that transformers calls the base
    model. A model that has neither is left as it is: nothing would train.
    """
    act.seams.watch_models()

    def made(optimizer: Optimizer, params: list[Any]) -> list[Any]:
        base = {id(one): one for model in list(act.seams.models) for one in _base_of(model)}
        given = list(_tensors(params))
        found = [one for one in given if id(one) in base and one.requires_grad]
        if not found or len(found) == len(given):
            return params
        beside = f", {BESIDE_ADAPTERS}" if any(_has_adapters(model) for model in list(act.seams.models)) else ""
        act.met(f"{sum(one.numel() for one in found)} parameters of the base{beside}")
        if not act.is_applied:
            return params
        for one in found:
            one.requires_grad_(False)
            one.grad = None
        return _without(params, {id(one) for one in found})

    act.seams.on_optimizer(made)


def _base_of(model: Any) -> Iterator[nn.Parameter]:
    named = list(model.named_parameters())
    if _has_adapters(model):
        yield from (one for name, one in named if not _is_adapter(name))
        return
    base = getattr(model, getattr(model, "base_model_prefix", "") or "", None)
    if isinstance(base, nn.Module):
        yield from base.parameters()


def _has_adapters(model: Any) -> bool:
    return any(_is_adapter(name) for name, _ in model.named_parameters())


def _is_adapter(name: str) -> bool:
    return any(part in name for part in _ADAPTER)


def _tensors(params: list[Any]) -> Iterator[Tensor]:
    for one in params:
        if isinstance(one, dict):
            members = one["params"]
            one["params"] = members = [members] if isinstance(members, Tensor) else list(members)
            yield from (member[1] if isinstance(member, tuple) else member for member in members)
        else:
            yield one[1] if isinstance(one, tuple) else one


def _without(params: list[Any], gone: set[int]) -> list[Any]:
    def stays(one: Any) -> bool:
        return id(one[1] if isinstance(one, tuple) else one) not in gone

    kept = []
    for one in params:
        if isinstance(one, dict):
            members = [member for member in one["params"] if stays(member)]
            if members:
                kept.append({**one, "params": members})
        elif stays(one):
            kept.append(one)
    return kept
