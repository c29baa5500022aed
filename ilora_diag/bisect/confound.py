"""Comparisons that prove nothing: two trials that are told to differ in one thing, and in fact differ in two.

What counts is what was in force (`Trial.effective`), not what was asked for: a changed image that also renames a
variable, a setting that took another with it. Settings that follow from the one that was changed are no second thing;
which can follow from which is the table below, and nothing else may differ.
"""

from __future__ import annotations

from collections.abc import Collection

from ilora_diag.schema.known import Settings, Unavailable, Value
from ilora_diag.schema.trial import Trial

_ALLOCATOR_VARIABLES = ("env.PYTORCH_CUDA_ALLOC_CONF", "env.PYTORCH_ALLOC_CONF")
_OF_THE_PROGRAM = ("attention.", "parameters.", "precision", "checkpointing", "loop")
"""Read from what was built: they follow from any setting of the program, never from card, driver or allocator."""
_NOT_OF_THE_PROGRAM = ("device.", "env.PYTORCH_", "env.CUDA_", "env.NVIDIA_")


def follows(key: str, changed: str) -> bool:
    """Whether an effective setting can differ because another was changed."""
    if key in (changed, changed.partition(":")[0]):  # `apply.release:NAME` adds a name to `apply.release`
        return True
    if key.startswith("allocator."):
        return changed in _ALLOCATOR_VARIABLES
    if key.startswith("card."):
        return changed.startswith("device.")
    if key.startswith("parts."):
        return changed == "parts.components"  # a part that is left out has no weights and no place in an order
    if key.startswith(_OF_THE_PROGRAM):
        return not changed.startswith(_NOT_OF_THE_PROGRAM)
    return False


def other_differences(one: Trial, two: Trial, changed: Collection[str]) -> tuple[str, ...]:
    """Settings in which two trials differ beside those that were changed and what follows from them.

    Compared are settings that both trials found; one that failed early knows fewer. A trial that died of a signal, and
    so could not tell what was in force, is compared by what was asked for.

    Args:
        one: a trial.
        two: another.
        changed: keys whose values were changed between them.
    """
    first, second = (dict(settings_of(trial)) for trial in (one, two))
    if isinstance(one.effective, Unavailable) or isinstance(two.effective, Unavailable):
        first, second = dict(_asked(one)), dict(_asked(two))
    both = [key for key in first if key in second and not _equal(first[key], second[key])]
    return tuple(key for key in both if not any(follows(key, cause) for cause in changed))


def tells_nothing(trial: Trial) -> bool:
    """A trial that ended in order and nevertheless does not say what was in force."""
    return isinstance(trial.effective, Unavailable) and trial.signal is None


def settings_of(trial: Trial) -> Settings:
    """What was in force; nothing where that is not known."""
    return () if isinstance(trial.effective, Unavailable) else trial.effective


def _asked(trial: Trial) -> Settings:
    """What a trial was asked for, without why and how far: neither is a setting of the program."""
    return tuple((key, value) for key, value in trial.requested if not key.startswith(("step.", "--")))


def _equal(one: Value, two: Value) -> bool:
    return type(one) is type(two) and one == two
