"""torch's first steps on each device, as a process: `python -P -m probes.cuda_init [--skip ORDINAL]`.

Import, is_available, a tensor on the device, one matrix product in the type the device is made for. It answers on the
descriptor that ILORA_DIAG_RESULT_FD names with the record `Facts`: `torch.*`, and `ordinal[M].torch_probe.tensor`,
where M counts as CUDA does. What it needs of a device is some hundred MiB, the context most of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

from ilora_diag.schema import Fact, Facts, Known, Unavailable, Value, to_json

RESULT_FD = "ILORA_DIAG_RESULT_FD"
_SIDE = 64
_MAX_ERROR_CHARS = 300


def main(argv: list[str] | None = None) -> int:
    """Answer. Returns the exit code, 0 whatever the device says."""
    parser = argparse.ArgumentParser(prog="python -P -m probes.cuda_init", description=__doc__)
    parser.add_argument("--skip", action="append", default=[], type=int, help="a device to leave alone")
    arguments = parser.parse_args(argv)
    facts: list[Fact] = []
    torch = import_torch(facts)
    if torch is not None:
        about_build(facts, torch)
        for ordinal in range(about_runtime(facts, torch)):
            if ordinal not in arguments.skip:
                outcome = first_error(partial(_compute, torch, ordinal))
                path = f"ordinal[{ordinal}].torch_probe.tensor"
                facts.append(Fact(path=path, value=outcome, source="torch.ones(...) @ torch.ones(...) on the device"))
    send(facts)
    return 0


def import_torch(facts: list[Fact]) -> ModuleType | None:
    """torch, or None with the error noted. An import may raise anything: a library without a symbol, a bad config."""
    try:
        import torch
    except Exception as error:  # noqa: BLE001 (the outermost wrapper of the child)
        facts.append(Fact(path="torch.import_error", value=_line(error), source="import torch"))
        return None
    return torch


def about_build(facts: list[Fact], torch: ModuleType) -> None:
    """What this torch was built with, as it says itself."""
    note(facts, "torch.version", lambda: str(torch.__version__))
    note(facts, "torch.cuda_build", lambda: torch.version.cuda)
    note(facts, "torch.rocm_build", lambda: torch.version.hip)
    note(facts, "torch.archs", lambda: tuple(torch.cuda.get_arch_list()))
    note(facts, "torch.cxx11_abi", lambda: bool(torch.compiled_with_cxx11_abi()))


def about_runtime(facts: list[Fact], torch: ModuleType) -> int:
    """What it finds at run time. Returns the number of devices it would use."""
    note(facts, "torch.device_count", lambda: int(torch.cuda.device_count()))
    try:
        torch.cuda.init()
    except Exception as error:  # noqa: BLE001 (its text is the fact)
        source = f"torch.cuda.init: {_line(error)}"
        facts.append(Fact(path="torch.cuda_available", value=False, source=source))
        return 0
    note(facts, "torch.cuda_available", lambda: bool(torch.cuda.is_available()))
    note(facts, "torch.cudnn_version", lambda: _cudnn(torch.backends.cudnn.version()))
    note(facts, "torch.nccl_version", lambda: ".".join(str(part) for part in torch.cuda.nccl.version()))
    return int(torch.cuda.device_count())


def note(facts: list[Fact], path: str, ask: Callable[[], Known[Value]]) -> None:
    """Add one leaf; what a question raises belongs to that leaf alone."""
    try:
        value = ask()
    except Exception as error:  # noqa: BLE001 (older versions lack functions, broken ones raise anything)
        value = Unavailable(reason=f"failed: {_line(error)}", source="torch")
    facts.append(Fact(path=path, value=value, source="torch, imported in a child"))


def first_error(action: Callable[[], None]) -> str:
    """`ok`, or the type of error and the first line of its text."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 (its text is the fact)
        return _line(error)
    return "ok"


def send(facts: list[Fact]) -> None:
    """Answer, and end without a driver's exit handlers."""
    document = to_json(Facts(captured_at=time.time(), facts=tuple(facts)))
    number = os.environ.get(RESULT_FD, "")
    if not number.isdigit():
        sys.stdout.write(f"{document}\n")
        return
    with os.fdopen(int(number), "w", encoding="utf-8") as channel:
        channel.write(document)


def _compute(torch: ModuleType, ordinal: int) -> None:
    device = torch.device("cuda", ordinal)
    # bfloat16 has tensor cores from compute capability 8.0 on; before that it would be emulated.
    dtype = torch.bfloat16 if torch.cuda.get_device_capability(ordinal) >= (8, 0) else torch.float16
    product = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device) @ torch.ones(
        _SIDE, _SIDE, dtype=dtype, device=device
    )
    torch.cuda.synchronize(ordinal)
    if product[0, 0].item() != _SIDE:
        raise ArithmeticError(f"{_SIDE} ones add up to {product[0, 0].item()} on this device")


def _cudnn(number: int | None) -> Known[Value]:
    """Version of cuDNN from its number: 8907 is 8.9.7, and since 9.0 it is 91002 for 9.10.2."""
    if number is None:
        return Unavailable(reason="absent: torch loaded no cuDNN", source="torch.backends.cudnn.version")
    if number >= 90000:
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return f"{number // 1000}.{number // 100 % 10}.{number % 100}"


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:_MAX_ERROR_CHARS]


if __name__ == "__main__":
    sys.exit(main())
