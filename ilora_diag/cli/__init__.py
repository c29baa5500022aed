"""The command line: pack arguments, call, render, exit code. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
import tempfile
import traceback

from ilora_diag.cli.app import PROGRAM, Session, build_app
from ilora_diag.cli.exit_codes import CommandError, ExitCode

__all__ = ["main"]


def main(argv: list[str] | None = None) -> None:
    """Entry point of `ilora-diag`; always ends in SystemExit with one of `ExitCode`."""
    session = Session()
    try:
        # Ends in SystemExit itself: 0 after help, 2 on a usage error, 130 on Ctrl-C, else what the command raised.
        build_app()(args=argv, prog_name=PROGRAM, obj=session)
    except CommandError as error:
        _complain(str(error))
        sys.exit(error.code)
    except Exception as error:  # noqa: BLE001 - whatever nobody foresaw ends here, and is never taken for a finding
        _complain(_internal_error(error, show=session.debug))
        sys.exit(ExitCode.INTERNAL)


def _internal_error(error: Exception, *, show: bool) -> str:
    """Describe our own mistake in a line, and put its traceback where it can be sent from."""
    text = "".join(traceback.format_exception(error))
    if show:
        return f"internal error\n{text}"
    with tempfile.NamedTemporaryFile(
        "w", prefix=f"{PROGRAM}-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    summary = f"internal error: {type(error).__name__}: {error}"
    return f"{summary}\nThe traceback is in {file.name}; `{PROGRAM} --debug ...` shows it here."


def _complain(message: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {message}\n")
