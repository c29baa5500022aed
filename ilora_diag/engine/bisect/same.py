"""Whether two failures are the same failure."""

from __future__ import annotations

from ilora_diag.schema.trial import OUT_OF_MEMORY, ErrorFamily, FailureSignature


def is_same(found: FailureSignature, target: FailureSignature, *, exact: bool = False) -> bool:
    """Whether a failure is the one under investigation.

    Running out of memory moves: with a smaller batch it comes in another layer, in backward instead of forward, through
    another library. So one such failure of the device is like any other. Elsewhere family and code must agree.

    Args:
        found: of a trial.
        target: under investigation.
        exact: stage and frame must agree, too.
    """
    if exact:
        return found == target
    if target.family in OUT_OF_MEMORY and target.family is not ErrorFamily.OOM_HOST:
        return found.family in OUT_OF_MEMORY and found.family is not ErrorFamily.OOM_HOST
    return (found.family, found.code) == (target.family, target.code)
