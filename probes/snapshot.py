"""A configuration's steps on a card, dumped as a memory snapshot that PyTorch's viewer opens.

`python -P -m probes.snapshot [key=value ...] --gpu NAME --file FILE` records on a virtual card; with `--device cuda` in
place of `--gpu NAME`, on the card that is here. It answers `{"status": "ok" | "oom", "message": ...}` on the descriptor
that ILORA_DIAG_RESULT_FD names; a card that was full is dumped as it was then.

Exit codes: 0 dumped, 2 a mistake in the configuration or a name, 3 the device cannot carry it, 4 no such device here,
1 anything else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ilora.config import Config, ConfigError, check_device, load_config
from ilora_diag.hardware.gpus import GpuSpec, UnknownGpu
from probes.estimate import EXIT, EXIT_OK, EXIT_USAGE, cards, leave, prepare_imports, refuse, send

if TYPE_CHECKING:
    from probes.estimate_trace import Bench

EXIT_NO_DEVICE = 4


def main(argv: list[str] | None = None) -> int:
    """Dump one configuration. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m probes.snapshot", description=__doc__)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--config", help="YAML file, or the name of a preset")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--gpu", help="name of the virtual card")
    which.add_argument("--device", choices=("cuda",), help="the real card")
    parser.add_argument("--memory", type=int, help="bytes of the virtual card; default: the card's own")
    parser.add_argument("--file", type=Path, required=True, help="where to write the snapshot")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.overrides, file=arguments.config)
        check_device(config, "cuda")
        spec = cards(arguments.gpu, arguments.memory)[0] if arguments.gpu is not None else None
    except (ConfigError, UnknownGpu, ValueError) as error:
        return refuse("usage", str(error), EXIT_USAGE)
    if spec is None and (refusal := _refusal()):
        return refuse("no device", refusal, EXIT_NO_DEVICE)
    return _dumped(config, spec, arguments.file)


def _refusal() -> str:
    """Why nothing can be recorded on the real card; empty if there is one."""
    from probes.recorder import refusal_without_cuda

    return refusal_without_cuda("record")


def _dumped(config: Config, spec: GpuSpec | None, file: Path) -> int:
    """Record into the file, on the real card where `spec` is None, and answer. Returns the exit code."""
    prepare_imports(config)
    from probes.estimate_refusals import NoEstimateError, told_apart

    try:
        with told_apart():
            full = _run(_bench(config, spec), file)
    except NoEstimateError as error:
        return refuse(error.status, error.message, EXIT[error.status])
    except OSError as error:
        return refuse("usage", f"{file} cannot be written: {error.strerror}", EXIT_USAGE)
    send(json.dumps({"status": "ok" if full is None else "oom", "message": full or ""}))
    return EXIT_OK


def _bench(config: Config, spec: GpuSpec | None) -> Bench:
    from probes.estimate_compose import make_setup
    from probes.estimate_trace import Bench

    if spec is not None:
        return Bench(make_setup(config, spec, ""), real_card=True)
    from probes.recorder import this_card
    from probes.snapshot_cuda import CudaBench

    return CudaBench(make_setup(config, this_card(), ""))


def _run(bench: Bench, file: Path) -> str | None:
    """Record loading and two steps into the file; the error's words where the card was full."""
    import torch

    from probes.estimate_work import STEPS

    full = None
    with bench.card():
        try:
            bench.build()
            bench.run_steps(bench.setup.config, STEPS)
        except torch.OutOfMemoryError as error:
            full = str(error)
        torch.cuda.memory._dump_snapshot(str(file))  # type: ignore[no-untyped-call]
    return full


if __name__ == "__main__":
    leave(main())
