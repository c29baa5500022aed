"""A size as it is typed behind an option."""

from __future__ import annotations

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.units import UnitError, parse_bytes


def typed_size(option: str, text: str) -> int:
    """Bytes of a text such as 16GiB.

    Raises:
        CommandError: it is no size, or not above 0.
    """
    try:
        size = parse_bytes(text)
    except UnitError as error:
        raise CommandError(f"{option} {error}", ExitCode.USAGE) from error
    if size <= 0:
        raise CommandError(f"{option} {text}: allowed is a size above 0, such as 16GiB", ExitCode.USAGE)
    return size
