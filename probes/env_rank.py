"""Facts of every rank, gathered into one folder: `torchrun --nproc-per-node N -m probes.env_rank --out DIR`.

Each rank asks the observer's collectors, as processes of their own, and adds what its torch says; gloo carries the
records to rank 0, which writes DIR/rank-00000.json and so on, each a record `Facts` with `rank.index`. Where the
ranks cannot reach each other, each writes its own file, which is how far this gets on a machine whose network is what
is broken. The files hold host names and are not redacted; `env-check --ranks DIR` reads them.

Exit codes: 0 all gathered, 1 each rank wrote for itself, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from ilora_diag.collect.merge import GROUP_KEYS, Answer, merge
from ilora_diag.schema import Fact, Facts, SchemaError, Unavailable, from_json, to_json
from probes.cuda_init import about_build, import_torch, note

EXIT_OK, EXIT_ALONE = 0, 1
RESULT_FD = "ILORA_DIAG_RESULT_FD"
_GROUPS = ("files", "devices", "nvml", "cuda")
_GROUP_S, _GATHER_S = 30.0, 60.0


def main(argv: list[str] | None = None) -> int:
    """Collect, gather, write. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="torchrun ... -m probes.env_rank", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the records, made if it is not there")
    parser.add_argument("--gather-s", type=float, default=_GATHER_S, help="seconds to wait for the other ranks")
    arguments = parser.parse_args(argv)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    document = to_json(facts_of_rank(rank, world))
    try:
        gathered = _gather(document, rank, world, arguments.gather_s)
    except Exception as error:  # noqa: BLE001 (whatever the network raises, the facts are worth keeping)
        sys.stderr.write(f"rank {rank}: could not gather ({type(error).__name__}: {error}); written alone\n")
        _write(arguments.out, rank, document)
        return EXIT_ALONE
    for index, text in enumerate(gathered):
        _write(arguments.out, index, text)
    return EXIT_OK


def facts_of_rank(rank: int, world: int) -> Facts:
    """What this rank's machine and its torch say."""
    with ThreadPoolExecutor(max_workers=len(_GROUPS)) as pool:
        answers = list(pool.map(_ask, _GROUPS))
    own = [
        Fact(path="rank.index", value=rank, source="RANK"),
        Fact(path="rank.world_size", value=world, source="WORLD_SIZE"),
    ]
    torch = import_torch(own)
    if torch is not None:
        about_build(own, torch)
        note(own, "torch.nccl_version", lambda: ".".join(str(part) for part in torch.cuda.nccl.version()))
    answers.append(Answer(group="torch", facts=tuple(own)))
    return Facts(captured_at=time.time(), facts=merge(answers))


def _ask(group: str) -> Answer:
    """One group of collectors. A driver that hangs costs its deadline here as well."""
    command = [sys.executable, "-P", "-m", "ilora_diag.collect.child", group]
    environment = {name: value for name, value in os.environ.items() if name != RESULT_FD}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_GROUP_S, env=environment, check=False
        )
        return Answer(group=group, facts=from_json(Facts, done.stdout).facts)
    except subprocess.TimeoutExpired:
        reason = f"timed out: still running after its {_GROUP_S:g} s"
    except (OSError, SchemaError) as error:
        reason = f"failed: {type(error).__name__}: {error}"
    missing = Unavailable(reason=reason, source=group)
    paths = (f"collect.{group}", *GROUP_KEYS.get(group, ()))
    return Answer(group=group, facts=tuple(Fact(path=path, value=missing, source=group) for path in paths))


def _gather(document: str, rank: int, world: int, seconds: float) -> list[str]:
    """The records of all ranks on rank 0, none on the others."""
    if world == 1:
        return [document]
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=timedelta(seconds=seconds))
    try:
        found: list[str | None] | None = [None] * world if rank == 0 else None
        dist.gather_object(document, found)
        return [text for text in found or () if text is not None]
    finally:
        dist.destroy_process_group()


def _write(folder: Path, rank: int, document: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"rank-{rank:05d}.json").write_text(f"{document}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
