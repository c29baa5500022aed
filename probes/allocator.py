"""Whether torch's allocator gets memory with its setting: `python -P -m probes.allocator --step NAME`.

The observer runs it twice, with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True and :False. One failing and one
passing, that is the proof that the virtual memory calls are what the machine refuses. A run in which the setting did
not take effect proves nothing and says so. It answers as `probes.cuda_init` does, with `ordinal[M].torch_probe.NAME`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from types import ModuleType

from ilora_diag.schema import Fact, Known, Unavailable, Value
from probes.cuda_init import first_error, import_torch, note, send

_BYTES = 32 << 20  # more than one granule of 20 MiB, so that an expandable segment is really mapped
_STEPS = ("expandable_on", "expandable_off")


def main(argv: list[str] | None = None) -> int:
    """Answer. Returns the exit code, 0 whatever the device says."""
    parser = argparse.ArgumentParser(prog="python -P -m probes.allocator", description=__doc__)
    parser.add_argument("--step", choices=_STEPS, required=True, help="name of the leaf, and which setting is meant")
    parser.add_argument("--skip", action="append", default=[], type=int, help="a device to leave alone")
    arguments = parser.parse_args(argv)
    facts: list[Fact] = []
    torch = import_torch(facts)
    if torch is not None and first_error(torch.cuda.init) == "ok":
        for ordinal in range(torch.cuda.device_count()):
            if ordinal not in arguments.skip:
                path = f"ordinal[{ordinal}].torch_probe.{arguments.step}"
                value = _outcome(torch, ordinal, arguments.step)
                facts.append(Fact(path=path, value=value, source=f"a tensor of {_BYTES >> 20} MiB on the device"))
    send(facts)
    return 0


def _outcome(torch: ModuleType, ordinal: int, step: str) -> Known[Value]:
    wanted = step == "expandable_on"
    kinds: list[bool] = []
    outcome = first_error(partial(_allocate, torch, ordinal, kinds))
    # Where it failed, no segment tells; the setting does. Both are asked inside, for a variable may be ignored: by a
    # build without the driver API, by a torch that reads another name, by a library that removed it on import.
    effective = kinds[0] if kinds else _setting(torch)
    if effective is not None and effective != wanted:
        why = f"the allocator ran with expandable segments {'on' if effective else 'off'} all the same"
        return Unavailable(reason=f"not collected: {why}; the outcome was {outcome}", source="allocator snapshot")
    return outcome


def _allocate(torch: ModuleType, ordinal: int, kinds: list[bool]) -> None:
    """Take memory, use it, and note whether it lies in an expandable segment, where this torch tells."""
    block = torch.zeros(_BYTES, dtype=torch.uint8, device=torch.device("cuda", ordinal))
    torch.cuda.synchronize(ordinal)
    if int(block.sum().item()):
        raise ArithmeticError("zeros are not zero on this device")
    told = [one["is_expandable"] for one in torch.cuda.memory._snapshot()["segments"] if "is_expandable" in one]
    if told:
        kinds.append(any(told))


def _setting(torch: ModuleType) -> bool | None:
    """Whether expandable segments are set, by the allocator's own word; None where this torch does not tell."""
    facts: list[Fact] = []
    note(facts, "setting", lambda: bool(torch.cuda.memory._snapshot()["allocator_settings"]["expandable_segments"]))
    value = facts[0].value
    return value if isinstance(value, bool) else None


if __name__ == "__main__":
    sys.exit(main())
