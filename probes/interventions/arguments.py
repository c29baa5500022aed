"""`arg.NAME`: the value of an option on a script's command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ilora_diag.schema.known import Scalar, Value

_NUMBER = re.compile(r"-\d[\d.eE+-]*$")


def with_arguments(args: Sequence[str], changes: Mapping[str, Value]) -> tuple[str, ...]:
    """A command line with options changed.

    `--name` takes the place of `--name VALUE` and `--name=VALUE`, or is added at the end. True leaves the bare flag,
    None and False take it away; a tuple is several values. A name without a dash is that of a `name=value` argument, as
    Hydra takes them.
    """
    found = list(args)
    for name, value in changes.items():
        found = _dashed(found, name, value) if name.startswith("-") else _assigned(found, name, value)
    return tuple(found)


def _assigned(args: list[str], name: str, value: Value) -> list[str]:
    kept = [one for one in args if one.lstrip("+").partition("=")[0] != name]
    place = next((place for place, one in enumerate(args) if one.lstrip("+").partition("=")[0] == name), len(kept))
    return kept if value is None else [*kept[:place], f"{name}={_text(value)}", *kept[place:]]


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return f"[{','.join(_scalar(one) for one in value)}]"
    return _scalar(value)


def _scalar(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dashed(args: list[str], name: str, value: Value) -> list[str]:
    kept: list[str] = []
    place = None
    position = 0
    while position < len(args):
        one = args[position]
        if one == name:
            place = len(kept) if place is None else place
            position += 1 + _num_values(args, position + 1, value)
        elif one.startswith(f"{name}=") and name.startswith("--"):
            place = len(kept) if place is None else place
            position += 1
        else:
            kept.append(one)
            position += 1
    place = len(kept) if place is None else place
    return [*kept[:place], *_words(name, value), *kept[place:]]


def _num_values(args: list[str], begin: int, value: Value) -> int:
    """How many of the words from `begin` on are an option's: all for a tuple, one for a value, else none or one."""
    words = 0
    while begin + words < len(args) and _is_value(args[begin + words]):
        words += 1
        if not isinstance(value, tuple):
            break
    return words if not isinstance(value, bool) else 0


def _is_value(word: str) -> bool:
    return not word.startswith("-") or _NUMBER.match(word) is not None


def _words(name: str, value: Value) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    return [name, *(_scalar(one) for one in (value if isinstance(value, tuple) else (value,)))]
