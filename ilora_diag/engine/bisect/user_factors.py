"""Factors of a user's own, from a YAML file.

```yaml
factors:
  - name: projector_width
    kind: ordered            # ordered, unordered or binary
    category: oom_live_tensors
    cost: less_capacity
    levels:
      - {name: "4096"}                                  # the failing one changes nothing
      - {name: "2048", set: {llm.arch.hidden_size: 2048}}
      - {name: "off", set: {env.MY_PROJECTOR: "0"}, change: "export MY_PROJECTOR=0"}
```
"""

from __future__ import annotations

from pathlib import Path

import yaml

from ilora_diag.bisect.costs import COSTS
from ilora_diag.engine.bisect.config_factors import typed
from ilora_diag.schema.bisect import Factor, FactorKind, FactorScope, Level
from ilora_diag.schema.errors import LawError
from ilora_diag.schema.known import Settings, Value

_KEYS = ("name", "kind", "category", "cost", "levels", "prior")
_LEVEL_KEYS = ("name", "set", "change", "cost")
_MAX_BYTES = 1 << 20


class FactorsFileError(ValueError):
    """A factors file that cannot be used: names the file, the factor, what is wrong and what is allowed."""


def read_factors(path: Path) -> tuple[Factor, ...]:
    """The factors of a file.

    Raises:
        FactorsFileError: it cannot be read, or says something that is not allowed.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise FactorsFileError(f"{path}: larger than 1 MiB, which is no file of factors")
        tree = yaml.safe_load(path.read_bytes())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise FactorsFileError(f"{path}: it cannot be read: {error}") from error
    rows = tree.get("factors") if isinstance(tree, dict) else None
    if not isinstance(rows, list) or not rows:
        raise FactorsFileError(f"{path}: allowed is a mapping with a list `factors`, each with name, kind and levels")
    factors = tuple(_factor(path, row) for row in rows)
    names = [factor.name for factor in factors]
    if len(set(names)) < len(names):
        raise FactorsFileError(f"{path}: a factor's name stands twice: {', '.join(names)}")
    return factors


def _factor(path: Path, row: object) -> Factor:
    fields = _mapping(path, "a factor", row, _KEYS)
    name = _text(path, "name of a factor", fields.get("name"))
    kinds = [kind.value for kind in FactorKind]
    if fields.get("kind", "unordered") not in kinds:
        raise FactorsFileError(f"{path}: kind {fields['kind']!r} of {name}: allowed is one of {', '.join(kinds)}")
    cost = _cost(path, name, fields.get("cost", "none"))
    levels = fields.get("levels")
    if not isinstance(levels, list) or len(levels) < 2:
        raise FactorsFileError(f"{path}: levels of {name}: allowed is a list of two or more, the failing one first")
    made = tuple(_level(path, name, level, cost) for level in levels)
    keys = {key for level in made for key, _ in level.changes}
    try:
        return Factor(
            name=name,
            kind=FactorKind(str(fields.get("kind", "unordered"))),
            scope=FactorScope.ENVIRONMENT if any(key.startswith("env.") for key in keys) else FactorScope.SETTING,
            levels=made,
            expects_monotone=fields.get("kind") == "ordered",
            category=_text(path, f"category of {name}", fields.get("category", "unknown")),
            prior=_number(path, f"prior of {name}", fields.get("prior", 1.0)),
        )
    except LawError as error:
        raise FactorsFileError(f"{path}: {error}") from error


def _level(path: Path, factor: str, row: object, cost: str) -> Level:
    fields = _mapping(path, f"a level of {factor}", row, _LEVEL_KEYS)
    name = _text(path, f"name of a level of {factor}", fields.get("name"))
    given = fields.get("set", {})
    if not isinstance(given, dict):
        raise FactorsFileError(f"{path}: set of {factor} {name}: allowed is a mapping such as {{train.batch_size: 2}}")
    changes: Settings = tuple((str(key), _value(path, f"{factor} {name}", value)) for key, value in given.items())
    otherwise = " ".join(f"{key}={typed(value)}" for key, value in changes)
    return Level(
        name=name,
        changes=changes,
        change=_text(path, f"change of {factor} {name}", fields.get("change", otherwise), empty=True),
        cost=_cost(path, factor, fields.get("cost", cost)),
    )


def _mapping(path: Path, what: str, row: object, keys: tuple[str, ...]) -> dict[str, object]:
    if not isinstance(row, dict):
        raise FactorsFileError(f"{path}: {what} is {row!r}: allowed is a mapping of {', '.join(keys)}")
    unknown = [str(key) for key in row if key not in keys]
    if unknown:
        raise FactorsFileError(f"{path}: {what} has the key {unknown[0]}: allowed are {', '.join(keys)}")
    return row


def _text(path: Path, what: str, value: object, *, empty: bool = False) -> str:
    if isinstance(value, (str, int, float)) and (empty or str(value)):
        return str(value)
    raise FactorsFileError(f"{path}: {what} is {value!r}: allowed is a text")


def _number(path: Path, what: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    raise FactorsFileError(f"{path}: {what} is {value!r}: allowed is a number above 0")


def _cost(path: Path, name: str, value: object) -> str:
    if value in COSTS:
        return str(value)
    raise FactorsFileError(f"{path}: cost {value!r} of {name}: allowed is one of {', '.join(COSTS)}")


def _value(path: Path, what: str, value: object) -> Value:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, list) and all(item is None or isinstance(item, (str, int, float, bool)) for item in value):
        return tuple(value)
    raise FactorsFileError(f"{path}: {what} sets {value!r}: allowed are plain values and lists of them")
