"""Our own file: safetensors, with the model's size in the metadata."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ilora.files import atomic_write
from ilora.rec.base import Recommender
from ilora.rec.checkpoint.harvest import Weights

FORMAT = "ilora.recommender/1"
_FACTS = {"num_items": int, "hidden_size": int, "max_history": int, "dropout": float}
_WITHOUT_VALUES = "without_values"


def save_recommender(rec: Recommender, path: Path | str, *, has_values: bool = True) -> None:
    """Write `rec` to a safetensors file; an interrupted or failed write leaves what was there before.

    Args:
        rec: the recommender.
        path: the file.
        has_values: whether anything was computed; a file that says no is refused by `load_recommender`.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in rec.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "arch": rec.arch,
        "num_items": str(rec.num_items),
        "hidden_size": str(rec.hidden_size),
        "max_history": str(rec.max_history),
        "dropout": str(rec.dropout_rate),
    }
    if not has_values:
        metadata[_WITHOUT_VALUES] = "true"
    content = save(tensors, metadata)
    with atomic_write(Path(path)) as file:
        file.write(content)


def read_safetensors(path: Path, *, needs_values: bool) -> Weights:
    """Weights and facts of a file of `save_recommender`; a state dict in a foreign safetensors file serves too.

    Raises:
        ValueError: damaged, metadata that are no numbers, or without values where they are needed.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"damaged safetensors file ({error})") from error
    if needs_values and _WITHOUT_VALUES in metadata:
        raise ValueError("its values were never computed: a run on a virtual card wrote it. Train one on a real device")
    return Weights(tensors, {name: kind(metadata[name]) for name, kind in _FACTS.items() if name in metadata})
