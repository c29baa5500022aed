"""The configured teacher without its data and weights: shapes are all that an estimate needs."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ilora.config import Config, check_catalogue
from ilora.device import Placement
from ilora.llm import LlmError
from ilora.llm.errors import reason
from ilora.llm.load import LoadedLlm
from ilora.llm.random_weights import build_random
from probes.late_patterns import patterns_compiled_late

# Catalogue of the RecBole wheel's ml-100k (ilora.data.readers.ml100k): every film of u.item.
_ML_100K_ITEMS = 1682
_ASSUMED_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class CatalogueSize:
    """How many items there are, and the sentence that says so where it is assumed."""

    num_items: int
    assumption: str = ""


def catalogue_size(config: Config) -> CatalogueSize:
    """Items of the configured data, where they can be known without reading it."""
    data = config.data
    if data.source == "ml-100k":
        return CatalogueSize(_ML_100K_ITEMS)
    if data.source == "synthetic":
        return CatalogueSize(data.num_items)
    known = _items_of_checkpoint(config.rec.checkpoint)
    if known is None and data.source == "canonical" and data.path is not None:
        known = _items_of_manifest(Path(data.path).expanduser())
    if known is not None:
        return CatalogueSize(known)
    text = f"the catalogue has {_ASSUMED_ITEMS} items (data.source={data.source} was not read)"
    return CatalogueSize(_ASSUMED_ITEMS, text)


def checked_num_items(config: Config) -> int:
    """Items of the catalogue.

    Raises:
        ConfigError: too few for what is configured.
    """
    num_items = catalogue_size(config).num_items
    check_catalogue(config, num_items)
    return num_items


def _items_of_checkpoint(checkpoint: str | None) -> int | None:
    """Rows of the item embedding less the padding, from the head of a safetensors file."""
    if checkpoint is None or not checkpoint.endswith(".safetensors"):
        return None
    try:
        with Path(checkpoint).expanduser().open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            head = json.loads(file.read(min(length, 1 << 20)))
        rows = head["item_embeddings.weight"]["shape"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error):
        return None
    return rows - 1 if isinstance(rows, int) and rows > 1 else None


def _items_of_manifest(folder: Path) -> int | None:
    try:
        found = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["manifest"]["num_items"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) and found > 0 else None


@dataclass(frozen=True, slots=True)
class Architecture:
    """Fields of a Hugging Face config, and where they come from.

    Attributes:
        from_files: real weights would be read on the host and moved at once; random ones are made on the card.
    """

    fields: Mapping[str, Any]
    source: str
    from_files: bool


def architecture(config: Config) -> Architecture:
    """The language model's shape, from the preset or from files that are on this machine; nothing is downloaded.

    Raises:
        LlmError: no description of the model is here.
    """
    llm = config.llm
    from_files = llm.path is not None or llm.name is not None
    if llm.path is not None and not llm.path.startswith("package:") and not Path(llm.path).expanduser().exists():
        raise LlmError(
            f"llm.path={llm.path}: not there. Allowed: a folder of save_pretrained, a .gguf file, package:NAME"
        )
    if llm.arch:
        return Architecture(dict(llm.arch), f"llm.arch of {llm.preset}", from_files)
    if not from_files:
        raise LlmError("llm.arch: empty, so there is nothing to build. Choose a preset, such as llm=opt-125m")
    return Architecture(_described(config), "its config.json", from_files)


def _described(config: Config) -> dict[str, Any]:
    from transformers import AutoConfig

    llm = config.llm
    options: dict[str, Any] = {"local_files_only": True}
    if llm.path is not None:
        key, place = f"llm.path={llm.path}", Path(_package_file(llm.path)).expanduser()
        if place.suffix == ".gguf":
            options["gguf_file"] = place.name
            place = place.parent
        elif not (place / "config.json").is_file():
            raise LlmError(f"{key}: no config.json in it. Expected a folder written by save_pretrained")
        where = str(place)
    else:
        key, where = f"llm.name={llm.name}", str(llm.name)
        options["revision"] = llm.revision
    try:
        found: dict[str, Any] = AutoConfig.from_pretrained(where, **options).to_dict()
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise LlmError(
            f"{key}: its architecture cannot be read on this machine: {reason(error)}. An estimate downloads nothing: "
            "choose a preset of the same architecture (llm=llama-3.1-8b), or give a folder with its config.json"
        ) from error
    return found


def _package_file(path: str) -> str:
    from ilora.llm.gguf import find_in_package

    return str(find_in_package(path.removeprefix("package:"))) if path.startswith("package:") else path


def make_llm(config: Config, shape: Architecture, placement: Placement) -> LoadedLlm:
    """The frozen language model with no weights in it, where and in the type `ilora.assemble.obtain_llm` puts it."""
    fields = dict(shape.fields)
    special = {name: fields.pop(name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    for name in ("transformers_version", "architectures", "torch_dtype", "dtype", "_name_or_path"):
        fields.pop(name, None)
    model = build_random(
        fields,
        dtype=placement.dtype,
        device="meta" if shape.from_files else placement.device,
        seed=config.llm.seed,
        attn_implementation=config.llm.attn_implementation,
        special_ids={name: value for name, value in special.items() if value is not None},
    )
    model = model.eval().requires_grad_(False)
    if shape.from_files:
        model.to_empty(device=placement.device)
    return LoadedLlm(model, _NoTokenizer(), shape.source)  # type: ignore[arg-type]  # nothing here asks it anything


def fetch_for_all(shape: Architecture) -> None:
    """Load now what every forked process would load with its first teacher: the model's code."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, core_model_loading
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    kind = str(shape.fields.get("model_type"))
    with patterns_compiled_late(core_model_loading):
        get_checkpoint_conversion_mapping(kind)
    if kind in CONFIG_MAPPING:
        MODEL_FOR_CAUSAL_LM_MAPPING.get(CONFIG_MAPPING[kind], None)


class _NoTokenizer:
    """Stands where a tokenizer would: batches are made of ids."""


def check_positions(config: Config, model: Any) -> None:
    """Refuse samples longer than the language model's positions, in the words of the trainer."""
    from ilora.assemble import _check_positions

    _check_positions(config, getattr(model.config, "max_position_embeddings", None))
