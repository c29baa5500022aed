"""The one door through which a recommender's file comes in."""

from __future__ import annotations

import struct
from pathlib import Path

from ilora.rec.base import Recommender
from ilora.rec.checkpoint.assemble import assemble
from ilora.rec.checkpoint.errors import CheckpointError
from ilora.rec.checkpoint.harvest import Weights, harvest
from ilora.rec.checkpoint.native import read_safetensors
from ilora.rec.checkpoint.torch_zip import read_torch_zip

_ZIP = b"PK\x03\x04"


def load_recommender(path: Path | str, *, needs_values: bool = True) -> Recommender:
    """A trained recommender, in eval mode, fp32, on the CPU.

    Reads the released whole-module pickles, Lightning checkpoints and state dicts (torch.save's zip files), and the
    files of `save_recommender`. No class is imported and no code of the file runs; device tags are ignored.

    Args:
        path: the file.
        needs_values: refuse a file that says of itself that nothing was computed.

    Raises:
        CheckpointError: no such file, or it cannot be loaded: names the file, the reason (a refused global by its
            name), and what is accepted. A `PickleRefusedError` is its cause where the pickle asked for too much.
    """
    path = Path(path)
    try:
        return assemble(_read(path, needs_values=needs_values))
    except OSError as error:
        raise CheckpointError(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise CheckpointError(path, str(error)) from error


def _read(path: Path, *, needs_values: bool) -> Weights:
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(_ZIP):
        return harvest(read_torch_zip(path))
    # A safetensors file: the length of its header (8 bytes), then a JSON object.
    if len(head) == 9 and head.endswith(b"{") and struct.unpack("<Q", head[:8])[0] < path.stat().st_size:
        return read_safetensors(path, needs_values=needs_values)
    if head.startswith(b"\x80"):
        raise ValueError("a bare pickle, as torch wrote before 1.6; load and save it again with a newer torch")
    raise ValueError("empty file" if not head else "neither a torch zip file nor a safetensors file")
