"""The trainer as a process: `python -P -m ilora.train --config FILE --run-dir DIR`.

It writes a run log, checkpoints and artefacts into the run folder and prints nothing. Whoever started it may hand it
the number of an open file descriptor in ILORA_DIAG_RESULT_FD and gets one JSON document there at the end.

Exit codes: 0 done, 2 a mistake in configuration, data or files (named in the run log's error event), 130 interrupted
with a checkpoint, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
RESULT_FD = "ILORA_DIAG_RESULT_FD"


def main(argv: list[str] | None = None) -> int:
    """Run one configuration. Returns the exit code."""
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(prog="python -P -m ilora.train", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="effective configuration (YAML)")
    parser.add_argument("--run-dir", type=Path, required=True, help="folder of this run")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the run folder")
    arguments = parser.parse_args(argv)
    # Imported here: a missing or broken library is then an event in the run log like any other failure.
    from ilora.startup import start

    result = start(
        config_file=arguments.config,
        run_dir=arguments.run_dir,
        device=arguments.device,
        resume=arguments.resume,
        begin=begin,
    )
    _answer(result)
    return {"ok": EXIT_OK, "interrupted": EXIT_INTERRUPTED, "usage": EXIT_USAGE}.get(str(result["status"]), EXIT_FAILED)


def _answer(result: dict[str, object]) -> None:
    number = os.environ.get(RESULT_FD, "")
    if number.isdigit() and result.get("rank", 0) == 0:
        with os.fdopen(int(number), "w", encoding="utf-8") as channel:
            json.dump(result, channel)


if __name__ == "__main__":
    sys.exit(main())
