"""What the commands answer to the shell. A contract: scripts and CI depend on each number."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every `ilora-diag` command."""

    OK = 0
    FAILURE = 1  # findings, a failed run, or a report that does not hold what it says
    USAGE = 2
    INCONCLUSIVE = 3
    PRECONDITION = 4  # something the command needs is not on this machine
    INTERNAL = 70  # our own mistake (EX_SOFTWARE of sysexits.h), so that it is never taken for a finding
    DEADLINE = 124
    INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; `main` prints the message to stderr and exits with `code`."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message)
        self.code = code
