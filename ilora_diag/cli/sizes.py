"""A size as it is typed behind an option."""

from __future__ import annotations

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.units import UnitError, parse_bytes

_LEAST_BYTES = 1 << 20


def typed_size(option: str, text: str) -> int:
    """Bytes of a text such as 16GiB.

    Raises:
        CommandError: it is no size, not above 0, or of a slip: 16 for 16GiB.
    """
    try:
        size = parse_bytes(text)
    except UnitError as error:
        raise CommandError(f"{option} {error}", ExitCode.USAGE) from error
    if size <= 0:
        raise CommandError(f"{option} {text}: allowed is a size above 0, such as 16GiB", ExitCode.USAGE)
    if size < _LEAST_BYTES:
        hint = f"{text} is {size} bytes, and nothing on a card is that small: type the unit, such as 16GiB"
        raise CommandError(f"{option} {text}: allowed is a size from 1MiB. {hint}", ExitCode.USAGE)
    return size


def optional_size(option: str, text: str | None) -> int | None:
    """The same where the option may be left out."""
    return None if text is None else typed_size(option, text)
