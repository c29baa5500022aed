"""How long a user waits before anything happens: help, imports, and what a run imports before its first phase."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.timing import machine, seconds

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "ilora-diag --help": ["-m", "ilora_diag", "--help"],
    "import ilora_diag.engine": ["-c", "import ilora_diag.engine"],
    "import ilora.config": ["-c", "import ilora.config"],
    "import torch": ["-c", "import torch"],
    "import ilora.startup (the whole trainer)": ["-c", "import ilora.startup"],
}


def main() -> None:
    print(machine())
    summary = {}
    for name, arguments in COMMANDS.items():
        command = [sys.executable, "-P", *arguments]

        def once(command=command) -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        once()
        median = statistics.median(seconds(once) for _ in range(5))
        summary[name] = round(median, 3)
        print(f"{name:42s} {median:6.3f} s")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
