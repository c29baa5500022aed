"""What a configured training step needs, as a process: `python -P -m probes.estimate [key=value ...] --gpu NAME,...`.

It builds the configured teacher (stage=rec: the recommender) on the virtual CUDA device, runs steps of the trainer's
own loop, and writes one JSON document on the descriptor that ILORA_DIAG_RESULT_FD names: the record `Estimate`, or
`{"status": ..., "message": ...}`. Nothing is downloaded and no data set is read.

Exit codes: 0 answered, 2 a mistake in the configuration or a name, 3 the device cannot carry this configuration (it
says what), 1 anything else.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ilora.config import Config, ConfigError, check_device, load_config
from ilora_diag.hardware.gpus import GpuSpec, UnknownGpu, find_gpu, with_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from ilora_diag.schema import Estimate
    from probes.estimate_record import Question

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
EXIT = {"usage": EXIT_USAGE, "refused": EXIT_REFUSED, "failed": EXIT_FAILED}
RESULT_FD = "ILORA_DIAG_RESULT_FD"


def main(argv: list[str] | None = None) -> int:
    """Answer one question. Returns the exit code."""
    begin = time.perf_counter()
    gc.disable()  # while torch and the rest are imported
    parser = argparse.ArgumentParser(prog="python -P -m probes.estimate", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--config", help="YAML file, or the name of a preset")
    parser.add_argument("--gpu", required=True, help="names of cards, separated by commas")
    parser.add_argument("--memory", type=int, help="bytes of every card")
    parser.add_argument("--torch", default="", help="version whose rules are modelled; default: the installed one")
    parser.add_argument("--no-knobs", action="store_true", help="neither changes nor the largest batch")
    parser.add_argument("--early", type=Path, help="write what is known before those are looked into to this file")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.overrides, file=arguments.config)
        check_device(config, "cuda")
        specs = cards(arguments.gpu, arguments.memory)
    except (ConfigError, UnknownGpu, ValueError) as error:
        return refuse("usage", str(error), EXIT_USAGE)
    try:
        return _answered(config, specs, arguments, begin)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def cards(names: str, memory_bytes: int | None) -> tuple[GpuSpec, ...]:
    """The cards of a list of names, each once.

    Raises:
        UnknownGpu: nothing is called so; the message names what comes nearest.
    """
    found = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        spec = find_gpu(name)
        found[spec.key] = spec if memory_bytes is None else with_memory(spec, memory_bytes)
    if not found:
        raise ValueError(f"--gpu {names!r}: names no card")
    return tuple(found.values())


def _answered(config: Config, specs: tuple[GpuSpec, ...], arguments: argparse.Namespace, begin: float) -> int:
    """Import, trace, answer. The imports stand here: a mistake in the configuration is told without them."""
    if config.stage == "rec" or config.train.loop == "plain":
        from probes import plain_shapes

        plain_shapes.install()
    from probes.estimate_record import Question
    from probes.estimate_refusals import NoEstimateError, told_apart

    question = Question(
        config=config, specs=specs, torch_version=arguments.torch, more=not arguments.no_knobs, begin=begin
    )
    estimate = _recommender if config.stage == "rec" else _teacher
    try:
        with told_apart():
            found = estimate(question, lambda known: _write_early(known, arguments.early))
    except NoEstimateError as error:
        return refuse(error.status, error.message, EXIT[error.status])
    return _write(found)


def _recommender(question: Question, early: Callable[[Estimate], None]) -> Estimate:
    """A recommender needs neither transformers nor peft."""
    from probes.estimate_rec_compose import estimate_recommender

    _imported()
    return estimate_recommender(question, early)


def _teacher(question: Question, early: Callable[[Estimate], None]) -> Estimate:
    from probes.estimate_ahead import Before, begun
    from probes.virtual.machine import environment

    before = Before(
        config=question.config,
        spec=question.specs[0],
        torch_version=question.torch_version,
        environ=environment(),
    )
    with begun(before) as wait:
        prepare_imports(question.config)
        from probes.estimate_compose import estimate

        _imported()
        return estimate(question, wait, early)


def _imported() -> None:
    gc.freeze()  # no collection need look at what was imported
    gc.enable()


def _write(found: Estimate) -> int:
    from ilora_diag.schema import to_json

    send(to_json(found))
    return EXIT_OK


def prepare_imports(config: Config, *, always: bool = False) -> None:
    """Import transformers and peft, the lean way unless Lightning needs what that leaves out.

    Args:
        config: whose loop decides.
        always: the lean way all the same; what Lightning needs, it imports later.
    """
    if always or config.train.loop == "plain":
        from probes.estimate_imports import lean_imports

        with lean_imports(_cache_dir()):
            import ilora.model  # noqa: F401  (with it transformers and peft)


def _write_early(known: Estimate, file: Path | None) -> None:
    """Write what is known, whole or not at all."""
    from ilora_diag.schema import to_json

    if file is not None:
        part = file.with_name(f"{file.name}.part")
        part.write_text(to_json(known), encoding="utf-8")
        part.replace(file)


def refuse(status: str, message: str, code: int) -> int:
    """Answer why there is no answer. Returns the code."""
    send(json.dumps({"status": status, "message": message}))
    return code


def send(document: str) -> None:
    """Write the document where it is waited for, else to stdout."""
    number = os.environ.get(RESULT_FD, "")
    if number.isdigit():
        with os.fdopen(int(number), "w", encoding="utf-8") as channel:
            channel.write(document)
    else:
        sys.stdout.write(f"{document}\n")


def _cache_dir() -> Path:
    """The user's folder for what can be made again (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "ilora-diag"


def leave(code: int) -> NoReturn:
    """End the process without taking its modules apart, which takes as long as a trace. All that it wrote is closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
