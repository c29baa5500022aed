"""Trials without the wait for imports: `python -P -m probes.trial_server --socket FD`, started by the observer.

It imports what its trials import, leaves CUDA alone, and forks a child for every trial. Trials of a configuration and
trials of a script have servers of their own: only the former know what they can do without (`probes.estimate_imports`).
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from ilora_diag.schema import from_json
from ilora_diag.schema.trial_request import STAGES, Stage, Target, TrialRequest
from probes.fork_server import ForkServer, Message, connect, seconds_since

_num_torch_threads = 1
# Whether there is a card is asked of NVML meanwhile: the CUDA runtime would not work in a forked child after that.
_WITHOUT_CONTEXT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
_WARM_FOR = 2
_WARM_UP = ("train.max_steps=2", "train.gradient_checkpointing=true", "model.head=items")


def main(argv: list[str] | None = None) -> int:
    """Import, then serve until the observer closes the socket. Returns the exit code."""
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(prog="python -P -m probes.trial_server", description=__doc__)
    parser.add_argument("--socket", required=True, help="number of the inherited descriptor")
    parser.add_argument("--virtual", action="store_true", help="its trials run on virtual cards")
    parser.add_argument("--script", action="store_true", help="its trials are of scripts")
    parser.add_argument("--preload", type=Path, help="script whose slow imports are made beforehand")
    arguments = parser.parse_args(argv)
    warm = _Warm() if arguments.virtual and not arguments.script else _leave_cold
    server = ForkServer(connect(arguments.socket), _answer, _why_not, warm)  # before anything changes the environment
    os.environ.update(_WITHOUT_CONTEXT)
    try:
        _import_for_scripts(arguments.preload) if arguments.script else _import_for_configurations()
    finally:
        for name in _WITHOUT_CONTEXT:
            os.environ.pop(name)
    _keep_to_one_thread()
    server.serve(seconds=seconds_since(begin), num_threads=_num_threads())
    return 0


def _import_for_configurations() -> None:
    from ilora.config import load_config
    from probes.estimate import prepare_imports

    prepare_imports(load_config())
    import probes.trial_config
    import probes.trial_device
    import probes.trial_effective
    import probes.trial_measure
    import probes.trial_parts
    import probes.trial_steps  # noqa: F401  (each where it is used)


def _import_for_scripts(script: Path | None) -> None:
    import probes.trial_script  # noqa: F401
    from probes.run_imports import card_hidden_from_some
    from probes.trial_preload import preload

    if script is not None:
        with card_hidden_from_some():
            preload(script)


def _keep_to_one_thread() -> None:
    """A pool of threads would not survive a fork; each child makes its own."""
    global _num_torch_threads
    import torch

    _num_torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)


class _Warm:
    """A step of a tiny model on a virtual card: PyTorch imports and registers some things when they are first used.

    It takes as long as several trials that fail early, so it waits for the second one that is to run a step.
    """

    def __init__(self) -> None:
        self._num_steps = 0

    def __call__(self, message: Message) -> None:
        """Warm up if this request is the second of its kind."""
        request = _request(message)
        if STAGES.index(request.stop_after) < STAGES.index(Stage.FORWARD):
            return
        self._num_steps += 1
        if self._num_steps == _WARM_FOR:
            _warm_up()
            gc.collect()
            gc.freeze()


def _leave_cold(message: Message) -> None:
    """On a real card or the CPU a step is not free, and a script's step is not ours."""


def _warm_up() -> None:
    from probes.trial_config import run_config_trial

    request = TrialRequest(
        id="T-00", target=Target.CONFIG, config="tiny", overrides=_WARM_UP, device="virtual:t4", steps=2
    )
    answer = run_config_trial(request, time.perf_counter())
    if answer.stage is not Stage.DONE:  # no reason not to serve: the trials themselves will say what is wrong
        sys.stderr.write(f"warming up ended in {answer.stage}: {answer.error}\n")


def _request(message: Message) -> TrialRequest:
    return from_json(TrialRequest, Path(str(message["request"])).read_bytes())


def _num_threads() -> int:
    """Threads of this process: one, unless a library starts some when it is imported."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def _why_not() -> str:
    """Why this process must not be forked; empty: it may be."""
    import torch

    is_initialized: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return "CUDA is initialised in the trial server" if is_initialized else ""


def _answer(message: Message, answer: int) -> None:
    """In the child: run the trial."""
    import torch

    from probes.trial import answer_request

    begin = time.perf_counter()
    torch.set_num_threads(_num_torch_threads)
    answer_request(_request(message), str(answer), begin)


if __name__ == "__main__":
    sys.exit(main())
