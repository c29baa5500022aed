"""One group of collectors, as a process: `python -P -m ilora_diag.collect.child GROUP [--journal FILE] [--root DIR]`.

It answers with the record `Facts` on the descriptor that ILORA_DIAG_RESULT_FD names, and writes each leaf into the
journal as soon as it is known, so that a call that hangs or crashes costs what comes after it and nothing before.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ilora_diag.collect.sheet import Sheet, attempt
from ilora_diag.schema import Facts, to_json

Collector = Callable[[Sheet, argparse.Namespace], None]
RESULT_FD = "ILORA_DIAG_RESULT_FD"


def _host(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.host import collect_host

    collect_host(sheet, arguments.root)


def _container(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.container import collect_container

    collect_container(sheet, arguments.root)


def _environ(sheet: Sheet, _: argparse.Namespace) -> None:
    from ilora_diag.collect.environ import collect_environ

    collect_environ(sheet)


def _loader(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.loader import collect_loader

    collect_loader(sheet, arguments.root)


def _packages(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.packages import collect_packages

    collect_packages(sheet, arguments.root)


def _kernel_log(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.kernel_log import collect_kernel_log

    collect_kernel_log(sheet, arguments.root)


def _pci(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.pci import collect_pci

    collect_pci(sheet, arguments.root)


def _kernel_driver(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.kernel_driver import collect_kernel_driver

    collect_kernel_driver(sheet, arguments.root)


def _devnodes(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.devnodes import collect_devnodes

    collect_devnodes(sheet, arguments.root)


def _nvml(sheet: Sheet, _: argparse.Namespace) -> None:
    from ilora_diag.collect.nvml import collect_nvml

    collect_nvml(sheet)


def _cuda_driver(sheet: Sheet, _: argparse.Namespace) -> None:
    from ilora_diag.collect.cuda_driver import collect_cuda_driver

    collect_cuda_driver(sheet)


def _cuda_deep(sheet: Sheet, arguments: argparse.Namespace) -> None:
    from ilora_diag.collect.cuda_deep import collect_cuda_deep

    collect_cuda_deep(sheet, skip=frozenset(arguments.skip))


# A group shares a process and a deadline: files that cannot hang, files and nodes behind which the driver stands, and
# each of the driver's libraries alone. Order matters: the first leaf under a path stays.
GROUPS: dict[str, dict[str, Collector]] = {
    "files": {
        "kernel_log": _kernel_log,
        "environ": _environ,
        "host": _host,
        "container": _container,
        "loader": _loader,
        "packages": _packages,
    },
    "devices": {"kernel_driver": _kernel_driver, "pci": _pci, "devnodes": _devnodes},
    "nvml": {"nvml": _nvml},
    "cuda": {"cuda_driver": _cuda_driver},
    "cuda_deep": {"cuda_deep": _cuda_deep},
}


def main(argv: list[str] | None = None) -> int:
    """Collect one group. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m ilora_diag.collect.child", description=__doc__)
    parser.add_argument("group", choices=tuple(GROUPS))
    parser.add_argument("--journal", type=Path, help="file that gets each leaf as a line of JSON")
    parser.add_argument("--root", type=Path, default=Path("/"), help="folder in whose proc, sys, dev and etc to look")
    parser.add_argument("--only", action="append", default=[], help="a collector of the group; default: all")
    parser.add_argument("--skip", action="append", default=[], type=int, help="a CUDA device to leave alone")
    arguments = parser.parse_args(argv)
    sheet = Sheet(journal=_open(arguments.journal))
    for name, collector in GROUPS[arguments.group].items():
        if not arguments.only or name in arguments.only:
            attempt(sheet, name, lambda run=collector: run(sheet, arguments))  # type: ignore[misc]
    document = to_json(Facts(captured_at=time.time(), facts=sheet.facts()))
    number = os.environ.get(RESULT_FD, "")
    if number.isdigit():
        with os.fdopen(int(number), "w", encoding="utf-8") as channel:
            channel.write(document)
        sys.stdout.flush()
        os._exit(0)  # a driver's exit handlers may hang or crash; the answer is given
    sys.stdout.write(f"{document}\n")
    return 0


def _open(path: Path | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError:  # without a journal only what a crash leaves behind is lost
        return None


if __name__ == "__main__":
    sys.exit(main())
