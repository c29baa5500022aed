"""sdpa_attention: scores that are not written out."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from torch import nn

from probes.interventions.act import Act
from probes.interventions.seams import Proceed, named


def sdpa_attention(act: Act) -> None:
    """Use scaled-dot-product attention where a model says eager, and nn.MultiheadAttention is asked for weights."""
    _of_transformers(act)
    _of_torch(act)


def _of_transformers(act: Act) -> None:
    def around(model: Any, given: dict[str, Any], proceed: Proceed) -> Any:
        config = model.config
        asks_weights = given.get("output_attentions") or getattr(config, "output_attentions", False)
        is_eager = getattr(config, "_attn_implementation", None) == "eager"
        if not is_eager or asks_weights or not getattr(model, "_supports_sdpa", False):
            return proceed(given)
        act.met("eager", type(model).__name__)
        if act.is_applied:
            config._attn_implementation = "sdpa"
            act.stack.callback(setattr, config, "_attn_implementation", "eager")
        return proceed(given)

    act.seams.around_model(around)


def _of_torch(act: Act) -> None:
    plain = nn.MultiheadAttention.forward
    signature = inspect.signature(plain)

    @functools.wraps(plain)
    def forward(layer: nn.MultiheadAttention, *args: Any, **kwargs: Any) -> Any:
        given = named(signature, layer, args, kwargs)
        if given is None or not given.get("need_weights", True):
            return plain(layer, *args, **kwargs)
        act.met("eager", "nn.MultiheadAttention with need_weights=True")
        return plain(layer, **(given | {"need_weights": False} if act.is_applied else given))

    act.seams.patches.replace(nn.MultiheadAttention, "forward", forward)
