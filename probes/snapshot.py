"""A configuration's steps on a virtual card, dumped as a memory snapshot that PyTorch's viewer opens.

`python -P -m probes.snapshot [key=value ...] --gpu NAME --file FILE` answers `{"status": "ok" | "oom", "message": ...}`
on the descriptor that ILORA_DIAG_RESULT_FD names; a card that was full is dumped as it was then.

Exit codes: 0 dumped, 2 a mistake in the configuration or a name, 3 the device cannot carry it, 1 anything else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ilora.config import Config, ConfigError, check_device, load_config
from ilora_diag.hardware.gpus import GpuSpec, UnknownGpu
from probes.estimate import EXIT, EXIT_OK, EXIT_USAGE, cards, leave, prepare_imports, refuse, send


def main(argv: list[str] | None = None) -> int:
    """Dump one configuration. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m probes.snapshot", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--config", help="YAML file, or the name of a preset")
    parser.add_argument("--gpu", required=True, help="name of the card")
    parser.add_argument("--memory", type=int, help="its bytes; default: the card's own")
    parser.add_argument("--file", type=Path, required=True, help="where to write the snapshot")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.overrides, file=arguments.config)
        check_device(config, "cuda")
        specs = cards(arguments.gpu, arguments.memory)
    except (ConfigError, UnknownGpu, ValueError) as error:
        return refuse("usage", str(error), EXIT_USAGE)
    return _dumped(config, specs[0], arguments.file)


def _dumped(config: Config, spec: GpuSpec, file: Path) -> int:
    prepare_imports(config)
    from probes.estimate_compose import make_setup
    from probes.estimate_refusals import NoEstimateError, told_apart

    try:
        with told_apart():
            full = _run(make_setup(config, spec, ""), file)
    except NoEstimateError as error:
        return refuse(error.status, error.message, EXIT[error.status])
    send(json.dumps({"status": "ok" if full is None else "oom", "message": full or ""}))
    return EXIT_OK


def _run(setup: object, file: Path) -> str | None:
    """Record loading and two steps into the file; the error's words where the card was full."""
    import torch

    from probes.estimate_trace import Bench, Setup
    from probes.estimate_work import STEPS

    assert isinstance(setup, Setup)
    bench = Bench(setup, real_card=True)
    full = None
    with bench.card():
        try:
            bench.build()
            bench.run_steps(setup.config, STEPS)
        except torch.OutOfMemoryError as error:
            full = str(error)
        torch.cuda.memory._dump_snapshot(str(file))  # type: ignore[no-untyped-call]
    return full


if __name__ == "__main__":
    leave(main())
