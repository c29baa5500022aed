"""no_kv_cache and no_hidden_states: results of a model that nobody asked for, or that one could do without."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from probes.interventions.act import Act
from probes.interventions.recomputation import recomputes
from probes.interventions.seams import Proceed


def no_kv_cache(act: Act) -> None:
    """Call models with use_cache=False, unless they are given a cache, as generation does."""

    def around(model: nn.Module, given: dict[str, Any], proceed: Proceed) -> Any:
        if act.seams.is_outermost_model() and given.get("past_key_values") is None and _caches(model, given):
            act.met("on", type(model).__name__)
            if act.is_applied:
                given = {**given, "use_cache": False}
        return proceed(given)

    act.seams.around_model(around)


def _caches(model: Any, given: dict[str, Any]) -> bool:
    if model.training and recomputes(model):
        return False  # transformers switches the cache off itself
    asked = given.get("use_cache")
    return bool(getattr(model.config, "use_cache", False) if asked is None else asked)


class LastOnly:
    """The hidden states of a model of which only the last was kept."""

    def __init__(self, last: Tensor) -> None:
        self._last = last

    def __getitem__(self, place: int) -> Tensor:
        if place != -1:
            raise IndexError(f"hidden state {place} was not kept: only the last one, [-1], was")
        return self._last


def no_hidden_states(act: Act) -> None:
    """Ask models for no hidden states; `hidden_states[-1]` is there all the same, being the last layer's output."""
    last: list[Tensor] = []

    def around(model: Any, given: dict[str, Any], proceed: Proceed) -> Any:
        is_outermost = act.seams.is_outermost_model()
        if not is_outermost or not _asks(model, given):
            out = proceed(given)
            _keep_last(out, last)
            return out
        act.met("on", type(model).__name__)
        if not act.is_applied:
            return proceed(given)
        last.clear()
        out = proceed({**given, "output_hidden_states": False})
        _keep_last(out, last)
        if last:
            out["hidden_states"] = LastOnly(last.pop())
        last.clear()
        return out

    act.seams.around_model(around)


def _asks(model: Any, given: dict[str, Any]) -> bool:
    def value(name: str, default: bool) -> Any:
        asked = given.get(name)
        return getattr(model.config, name, default) if asked is None else asked

    return bool(value("output_hidden_states", False)) and bool(value("return_dict", True))


def _keep_last(out: Any, last: list[Tensor]) -> None:
    found = getattr(out, "last_hidden_state", None)
    if isinstance(found, Tensor):
        last[:] = [found]
