"""Names of holders: how a path is written, and how a name is found again, in this process or another.

`script:history`, `script:trainer.outputs`, `script:state['losses']`: a global of the script and what hangs below it. A
function's closure variables and default arguments count as its attributes: `script:step.cache`. `frame:train.losses`: a
local variable of a running function. `module:llm.model.cache`: below a model, by its own names. `global:package.mod:X`:
a global of another module. `optimizer:state`, `exception:traceback` and `gc:cycles` stand for themselves.
"""

from __future__ import annotations

import ast
import re
import sys
import types
from typing import Any

import torch
from torch import nn

from probes.retention_heap import heap
from probes.retention_paths import attributes_of, defaults_of, function_name, locals_of
from probes.retention_search import Found, main_globals, running_frames

CYCLES, TRACEBACK, OPTIMIZER = "gc:cycles", "exception:traceback", "optimizer:state"
_ABSENT = object()
_TOKEN = re.compile(r"""\.?(?P<word>[^.\[\]]+)|\[(?P<key>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|-?\d+)\]""")


class HolderError(Exception):
    """A name does not name anything that could be let go; a trial that meets it is refused."""


def name_of(path: Found, length: int) -> str:
    """The name of the object `length` objects down a path; of the nearest one above it that has a name."""
    for place in range(min(length, len(path.kinds))):
        if issubclass(path.kinds[place], torch.optim.Optimizer):
            return OPTIMIZER
    name = path.seed
    for hop in path.hops[1:length]:
        if hop.name is None:
            break
        name += hop.name
    return name.replace("module:.", "module:")


def tokens_of(path: str) -> list[str | int]:
    """`state['losses'][3]` -> state, losses, 3. Raises HolderError for what is no path."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        token = _TOKEN.match(path, at)
        if token is None:
            raise HolderError(f"{path!r} is no name of a holder: {path[at:]!r} is neither .name nor ['key']")
        found.append(token["word"] if token["word"] is not None else ast.literal_eval(token["key"]))
        at = token.end()
    return found


def resolve(name: str) -> Any:
    """The object that a name stands for here and now. Raises HolderError if there is none."""
    kind, _, rest = name.partition(":")
    found = _ABSENT
    if kind == "script":
        main = main_globals(running_frames())
        found = _below(vars(sys.modules["__main__"]) if main is None else main, tokens_of(rest))
    elif kind == "global":
        module, _, path = rest.partition(":")
        found = _below(vars(sys.modules[module]), tokens_of(path)) if module in sys.modules else _ABSENT
    elif kind == "frame":
        found = _in_frame(rest)
    elif kind == "module":
        found = _in_models(tokens_of(rest))
    else:
        known = f"script:, frame:, module:, global:, {CYCLES}, {TRACEBACK}"
        raise HolderError(f"{name!r} is no name of a holder; names begin with {known}")
    if found is _ABSENT:
        raise HolderError(f"nothing is called {name} here")
    return found


def _in_frame(path: str) -> Any:
    for frame in running_frames():
        start = f"{function_name(frame)}."
        if path.startswith(start):
            found = _below(locals_of(frame), tokens_of(path.removeprefix(start)))
            if found is not _ABSENT:
                return found
    return _ABSENT


def _in_models(tokens: list[str | int]) -> Any:
    for root in heap().roots():
        found = _below(root, tokens)
        if found is not _ABSENT:
            return found
    return _ABSENT


def _below(value: Any, tokens: list[str | int]) -> Any:
    for token in tokens:
        value = _member(value, token)
        if value is _ABSENT:
            return _ABSENT
    return value


def _member(value: Any, token: str | int) -> Any:
    """One step down, without running code of the value's class."""
    if isinstance(value, dict) and token in value:
        return dict.__getitem__(value, token)
    if isinstance(value, (list, tuple)) and isinstance(token, int):
        return value[token] if -len(value) <= token < len(value) else _ABSENT
    if isinstance(value, nn.Module):
        for part in (value._modules, value._parameters, value._buffers):
            if str(token) in part:
                return part[str(token)]
    if isinstance(value, types.FunctionType):
        return _of_function(value, str(token))
    if isinstance(value, type):
        return vars(value).get(str(token), _ABSENT)
    held = attributes_of(value)
    if token in held:
        return held[str(token)]
    if token in ("__self__", "__func__", "func", "args", "keywords", "grad"):
        return getattr(value, str(token), _ABSENT)
    name = str(token)
    return next((vars(kind)[name] for kind in type(value).__mro__ if name in vars(kind)), _ABSENT)


def _of_function(value: types.FunctionType, name: str) -> Any:
    if name in value.__code__.co_freevars:
        try:
            return (value.__closure__ or ())[value.__code__.co_freevars.index(name)].cell_contents
        except (ValueError, IndexError):
            return _ABSENT
    return defaults_of(value).get(name, vars(value).get(name, _ABSENT))


__all__ = ["CYCLES", "OPTIMIZER", "TRACEBACK", "HolderError", "name_of", "resolve", "tokens_of"]
