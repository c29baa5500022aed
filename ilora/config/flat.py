"""A configuration as dotted keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from ilora.config.tree import Config


def flat_settings(config: Config) -> tuple[tuple[str, Any], ...]:
    """The configuration as dotted keys, in the order of its tree; lists become tuples."""
    return tuple(_leaves(dataclasses.asdict(config), ""))


def _leaves(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", tuple(value) if isinstance(value, list) else value
