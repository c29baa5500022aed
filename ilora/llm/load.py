"""The one constructor of language models: decides where weights come from, their type and their device."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ilora.config import LlmConfig
from ilora.llm.errors import LlmError, reason
from ilora.llm.gguf import converted, find_in_package
from ilora.llm.random_weights import build_random
from ilora.tokenizer import TextTokenizer, TokenizerError, load_tokenizer, train_tokenizer

_PACKAGE = "package:"
# Most ids a tokenizer trained for random weights gets: quick on any catalogue, and enough for prompts about as long as
# a real tokenizer makes them. ml-100k's titles fill 2,087 ids and have 5.1 tokens on average; under SmolLM2's, 4.5.
_TRAINED_VOCABULARY = 8192


@dataclass(frozen=True, slots=True)
class LoadedLlm:
    """A language model, frozen and in eval mode, with its tokenizer.

    Attributes:
        model: a `transformers.PreTrainedModel` with a vocabulary head.
        tokenizer: all its ids are rows of the model's embedding.
        source: where the weights come from, for reports; names no folder of the machine.
    """

    model: Any
    tokenizer: TextTokenizer
    source: str


def load_llm(
    config: LlmConfig,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    cache_dir: str | Path | None = None,
    texts: Iterable[str] = (),
) -> LoadedLlm:
    """Load a language model: `config.path`, else `config.name`, else random weights of `config.arch`.

    Args:
        config: the llm group.
        dtype: of all weights; converted while they are read, so that no second copy is made.
        device: where the model goes. Random weights are made there, real ones are read on the host and moved once.
        cache_dir: where converted .gguf files are kept; default: the user's cache folder.
        texts: what the tokenizer for random weights is trained on, where `config.tokenizer` names none.

    Raises:
        LlmError: no such model, no weights, no tokenizer, or the two do not fit.
    """
    if config.path is not None:
        loaded = _load_path(config, dtype, Path(cache_dir).expanduser() if cache_dir else default_cache_dir())
    elif config.name is not None:
        loaded = _load_hub(config, dtype)
    else:
        loaded = _build(config, dtype, torch.device(device), texts)
    model = loaded.model.eval().requires_grad_(False)
    return LoadedLlm(model.to(device), loaded.tokenizer, loaded.source)


def default_cache_dir() -> Path:
    """The user's folder for what can be made again (XDG base directory specification)."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "ilora-diag"


def _load_path(config: LlmConfig, dtype: torch.dtype, cache_dir: Path) -> LoadedLlm:
    path = str(config.path)
    if path.startswith(_PACKAGE):
        file = find_in_package(path.removeprefix(_PACKAGE))
        return _load_folder(converted(file, cache_dir), config, dtype, source=f"{path} ({file.name})")
    place = Path(path).expanduser()
    if place.suffix == ".gguf":
        return _load_folder(converted(place, cache_dir), config, dtype, source=place.name)
    if not place.is_dir():
        kind = "a file, but no .gguf" if place.exists() else "not there"
        raise LlmError(f"llm.path={path}: {kind}. Allowed: a folder of save_pretrained, a .gguf file, package:NAME")
    if not (place / "config.json").is_file():
        raise LlmError(f"llm.path={path}: no config.json in it. Expected a folder written by save_pretrained")
    return _load_folder(place, config, dtype, source=place.resolve().name)


def _load_folder(folder: Path, config: LlmConfig, dtype: torch.dtype, *, source: str) -> LoadedLlm:
    # The tokenizer first: it is quick, and a folder without one is the commoner mistake.
    tokenizer = _tokenizer_of(Path(config.tokenizer).expanduser() if config.tokenizer else folder)
    try:
        model = _from_pretrained(str(folder), config, dtype, local_files_only=True)
    except (OSError, SafetensorError) as error:  # and no RuntimeError: running out of memory is one
        raise LlmError(
            f"llm.path={config.path}: the weights in {folder} cannot be read: {reason(error)}. If that folder is a "
            "converted .gguf, delete it and run again"
        ) from error
    return LoadedLlm(model, _fitted(tokenizer, _rows(model)), source)


def _load_hub(config: LlmConfig, dtype: torch.dtype) -> LoadedLlm:
    from transformers import AutoTokenizer

    name, revision = str(config.name), config.revision
    try:
        if config.tokenizer:
            tokenizer = _tokenizer_of(Path(config.tokenizer).expanduser())
        else:
            tokenizer = TextTokenizer(AutoTokenizer.from_pretrained(name, revision=revision))
        model = _from_pretrained(name, config, dtype, revision=revision)
    except TokenizerError as error:
        raise LlmError(f"llm.name={name}: {reason(error)}") from error
    except OSError as error:  # transformers raises it for offline, gated and misspelt alike; its text tells them apart
        raise LlmError(
            f"llm.name={name}: cannot be loaded from the hub or its local cache: {reason(error)}. Without a network, "
            "give the weights (llm.path=DIR|FILE.gguf|package:NAME) or use random ones (llm=smollm2-135m)"
        ) from error
    return LoadedLlm(model, _fitted(tokenizer, _rows(model)), f"hub {name}" + (f" at {revision}" if revision else ""))


def _build(config: LlmConfig, dtype: torch.dtype, device: torch.device, texts: Iterable[str]) -> LoadedLlm:
    rows = config.arch.get("vocab_size")
    if not isinstance(rows, int):
        raise LlmError(
            f"llm.arch.vocab_size={rows}: the rows of the embedding, a whole number, are needed. Or: llm=tiny"
        )
    tokenizer = _tokenizer_of(Path(config.tokenizer).expanduser()) if config.tokenizer else _trained(texts, rows)
    tokenizer = _fitted(tokenizer, rows)
    model = build_random(
        config.arch,
        dtype=dtype,
        device=device,
        seed=config.seed,
        attn_implementation=config.attn_implementation,
        special_ids={
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": tokenizer.eos_id,
            "pad_token_id": tokenizer.pad_id,
        },
    )
    return LoadedLlm(model, tokenizer, f"random weights ({config.preset}, seed {config.seed})")


def _from_pretrained(place: str, config: LlmConfig, dtype: torch.dtype, **options: Any) -> Any:
    """A model whose every weight was in the files: transformers itself fills gaps with random numbers and a warning."""
    from transformers import AutoModelForCausalLM

    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            place, dtype=dtype, attn_implementation=config.attn_implementation, output_loading_info=True, **options
        )
    except (ValueError, ImportError) as error:
        raise LlmError(f"{place}: transformers cannot load this model: {reason(error)}") from error
    if missing := sorted(info["missing_keys"]):
        raise LlmError(
            f"{place}: {len(missing)} weights are missing, {missing[0]} for one: not a complete language model"
        )
    return model


def _tokenizer_of(folder: Path) -> TextTokenizer:
    try:
        return load_tokenizer(folder)
    except TokenizerError as error:
        raise LlmError(str(error)) from error


def _trained(texts: Iterable[str], rows: int) -> TextTokenizer:
    try:
        return train_tokenizer(texts, min(rows, _TRAINED_VOCABULARY))
    except TokenizerError as error:
        raise LlmError(f"llm.arch: {reason(error)}") from error


def _fitted(tokenizer: TextTokenizer, rows: int) -> TextTokenizer:
    """The tokenizer for an embedding of so many rows; a smaller one is an error."""
    try:
        return TextTokenizer(tokenizer.hf, vocab_size=rows)
    except TokenizerError as error:
        raise LlmError(str(error)) from error


def _rows(model: Any) -> int:
    """Rows of the input embedding, which may be more than the tokenizer's ids (OPT pads its vocabulary)."""
    return int(model.get_input_embeddings().weight.shape[0])
