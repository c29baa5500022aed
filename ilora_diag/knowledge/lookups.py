"""What rules may ask for beside plain facts: the numbers of the message, its lines, and what follows from facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from functools import cached_property

from ilora_diag.knowledge.oom_verdict import limit_reached
from ilora_diag.knowledge.reading import ErrorReading
from ilora_diag.knowledge.rules import Lookup, Verdict, facts_lookup, holds, version_numbers
from ilora_diag.knowledge.signatures import named_rules
from ilora_diag.schema.explanation import OomVerdict
from ilora_diag.schema.facts import Facts
from ilora_diag.schema.known import Known, Unavailable, Value

_EMPTY: tuple[tuple[str, Known[Value]], ...] = ()
_NEW_NAME_SINCE = (2, 10)
"""CUDA builds read PYTORCH_ALLOC_CONF from this version on, and only where the old name is unset."""


@dataclass(frozen=True)
class Named:
    """Facts, the reading and the verdict, by the names rules use."""

    facts: Facts | None
    reading: ErrorReading | None = None
    verdict: OomVerdict | None = None

    def holds(self, rule: str) -> Verdict:
        """Evaluate a rule."""
        return holds(rule, self.look, named_rules())

    def look(self, path: str) -> tuple[tuple[str, Known[Value]], ...]:
        """The values of a path, each with the name it was found under."""
        if path == "text":
            return (("text", self.reading.context),) if self.reading is not None and self.reading.context else _EMPTY
        if path == "alloc_conf":
            return self._alloc_conf
        if path == "gpu.arch_in_build":
            return self._arch_in_build
        head, _, name = path.partition(".")
        if head == "oom":
            return self._oom(name)
        if head == "captured":
            return self._captured(name)
        return self._facts(path)

    @cached_property
    def _facts(self) -> Lookup:
        return facts_lookup(self.facts)

    def one(self, path: str) -> Known[Value]:
        """The value of one path, or that nobody collected it."""
        found = self.look(path)
        return found[0][1] if found else Unavailable(reason="not collected", source=path)

    @cached_property
    def _alloc_conf(self) -> tuple[tuple[str, Known[Value]], ...]:
        """The allocator settings in force: from inside the process, else from the variable this torch reads."""
        for path in ("torch.allocator_settings", "env.PYTORCH_CUDA_ALLOC_CONF"):
            value = self.one(path)
            if isinstance(value, str) and value:
                return ((path, value),)
        version = self.one("torch.version")
        numbers = version_numbers(version) if isinstance(version, str) else ()
        new = self.one("env.PYTORCH_ALLOC_CONF")
        if isinstance(new, str) and new:
            if numbers and numbers < _NEW_NAME_SINCE:
                return (("env.PYTORCH_CUDA_ALLOC_CONF", ""),)
            return (("env.PYTORCH_ALLOC_CONF", new),) if numbers else _EMPTY
        old = self.one("env.PYTORCH_CUDA_ALLOC_CONF")
        return (("env.PYTORCH_CUDA_ALLOC_CONF", ""),) if old is None or old == "" else _EMPTY

    @cached_property
    def _arch_in_build(self) -> tuple[tuple[str, Known[Value]], ...]:
        """Whether the build has a binary for each card.

        Cubins of the same major version up to the card's minor version, or PTX of at most the card's (CUDA C++
        Programming Guide, binary compatibility).
        """
        archs = self.one("torch.archs")
        cards = [value for _, value in self._facts("gpu[*].compute_capability") if isinstance(value, str)]
        if not isinstance(archs, tuple) or not archs or not cards:
            return _EMPTY
        return tuple(("gpu.arch_in_build", _covered(card, tuple(map(str, archs)))) for card in cards)

    def _oom(self, name: str) -> tuple[tuple[str, Known[Value]], ...]:
        message = None if self.reading is None else self.reading.oom
        if message is None:
            return _EMPTY
        if name == "cause":
            known = self.verdict is not None and self.verdict.cause.value != "unknown"
            return (("oom.cause", self.verdict.cause.value),) if known and self.verdict is not None else _EMPTY
        if name == "contributing" and self.verdict is not None and self.verdict.cause.value != "unknown":
            return (("oom.contributing", tuple(cause.value for cause in self.verdict.others)),)
        if name == "limit_reached":
            reached = limit_reached(message)
            return _EMPTY if reached is None else (("oom.limit_reached", reached),)
        if name not in {spec.name for spec in fields(message)}:
            return _EMPTY
        value = getattr(message, name)
        return _EMPTY if isinstance(value, Unavailable) else ((f"oom.{name}", value),)

    def _captured(self, name: str) -> tuple[tuple[str, Known[Value]], ...]:
        leading = None if self.reading is None else self.reading.leading
        captured = {} if leading is None else dict(leading.captured)
        return ((f"captured.{name}", captured[name]),) if name in captured else _EMPTY


def _covered(card: str, archs: tuple[str, ...]) -> bool:
    numbers = version_numbers(card)
    if len(numbers) < 2:
        return True
    major, minor = numbers[0], numbers[1]
    for arch in archs:
        match = re.fullmatch(r"(sm|compute)_(\d+?)(\d)([af]?)", arch)
        if match is None:
            continue
        built = (int(match[2]), int(match[3]))
        if match[4] == "a":
            fits = built == (major, minor)
        elif match[1] == "sm":
            fits = built[0] == major and built[1] <= minor
        else:
            fits = built <= (major, minor)
        if fits:
            return True
    return False
