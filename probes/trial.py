"""One trial, as a process: `python -P -m probes.trial --request FILE`.

The file holds a `TrialRequest`; the answer, a `TrialAnswer`, is one JSON document on the descriptor that
ILORA_DIAG_RESULT_FD names. Whatever the configuration or the script does, the answer says how it ended; a process that
says nothing crashed, hung or was killed. Each stage is announced by a line on stderr, so that even then it is known
where.

Exit codes: 0 the trial is told, however it ended; 2 the request cannot be read.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import time
from pathlib import Path

from ilora_diag.schema import SchemaError, from_json, to_json
from ilora_diag.schema.trial_answer import TrialAnswer
from ilora_diag.schema.trial_request import Target, TrialRequest

EXIT_OK, EXIT_USAGE = 0, 2
RESULT_FD = "ILORA_DIAG_RESULT_FD"


def main(argv: list[str] | None = None) -> int:
    """Run one trial. Returns the exit code."""
    begin = time.perf_counter()
    channel = os.environ.pop(RESULT_FD, "")  # what the trial starts must not answer for it
    parser = argparse.ArgumentParser(prog="python -P -m probes.trial", description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="file with a TrialRequest")
    arguments = parser.parse_args(argv)
    try:
        request = from_json(TrialRequest, arguments.request.read_bytes())
    except (OSError, SchemaError) as error:
        sys.stderr.write(f"--request {arguments.request}: {error}\n")
        return EXIT_USAGE
    answer_request(request, channel, begin)
    return EXIT_OK


def answer_request(request: TrialRequest, channel: str, begin: float) -> None:
    """Run a trial and write its answer.

    Args:
        request: what to try.
        channel: number of the descriptor the answer goes to, in digits; empty: stdout.
        begin: `time.perf_counter()` when the process began its work.
    """
    faulthandler.enable()
    if request.target is Target.CONFIG:
        from probes.trial_config import run_config_trial

        answer = run_config_trial(request, begin)
    else:
        from probes.trial_script import run_script_trial

        answer = run_script_trial(request, channel, begin)
    send(answer, channel)


def send(answer: TrialAnswer, channel: str) -> None:
    """Write the answer where it is waited for, else to stdout."""
    document = to_json(answer)
    if channel.isdigit():
        with os.fdopen(int(channel), "w", encoding="utf-8") as file:
            file.write(document)
    else:
        sys.stdout.write(f"{document}\n")


if __name__ == "__main__":
    sys.exit(main())
