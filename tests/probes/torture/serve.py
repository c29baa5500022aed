"""A fork server whose children run the program that a request names. Asked to refuse, it does."""

import argparse
import os
import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from probes.fork_server import ForkServer, connect

parser = argparse.ArgumentParser()
parser.add_argument("--socket")
parser.add_argument("--refuse", default="")
arguments = parser.parse_args()


def run(request: dict, answer: int) -> None:
    os.environ["ILORA_DIAG_RESULT_FD"] = str(answer)
    sys.argv = [request["program"], *request["args"]]
    runpy.run_path(request["program"], run_name="__main__")


ForkServer(connect(arguments.socket), run, lambda: arguments.refuse).serve(hello="torture")
