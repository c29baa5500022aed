"""Models of a given architecture with random weights: for tests, and to measure what a model needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ilora.llm.errors import LlmError, reason

# Older files spell rotary settings so; transformers turns them into rope_parameters.
_OLD_FIELDS = frozenset({"rope_theta", "rope_scaling"})


def build_random(
    arch: Mapping[str, Any],
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    seed: int = 0,
    attn_implementation: str = "sdpa",
    special_ids: Mapping[str, int | None] | None = None,
) -> Any:
    """Build a causal language model with seeded random weights, each made once, in its type and on its device.

    Args:
        arch: fields of the Hugging Face config, `model_type` among them.
        dtype: of all weights.
        device: where the weights are made; "meta" makes none and takes milliseconds at any size.
        seed: of the weights; no generator of the process is left changed.
        attn_implementation: as transformers names it.
        special_ids: bos_token_id, eos_token_id and pad_token_id where they differ from the architecture's.

    Returns:
        The model (`transformers.PreTrainedModel`), in training mode, as transformers builds it.

    Raises:
        LlmError: no or unknown `model_type`, unknown field, wrong type, impossible combination.
    """
    from transformers import AutoModelForCausalLM

    device = torch.device(device)
    config = _make_config({**_plain(arch), **(special_ids or {})})
    try:
        with _seeded(seed, device), device:
            return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attn_implementation)
    except (ValueError, ImportError) as error:
        if "attention implementation" in str(error) and attn_implementation != "eager":
            raise LlmError(
                f"llm.attn_implementation={attn_implementation}: {arch['model_type']} has eager attention alone. Type "
                "llm.attn_implementation=eager"
            ) from error
        raise LlmError(
            f"llm.arch: no {arch['model_type']} model can be built from these fields: {reason(error)}"
        ) from error


def _make_config(arch: dict[str, Any]) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    model_type = arch.pop("model_type", None)
    if model_type not in CONFIG_MAPPING_NAMES:
        raise LlmError(
            f"llm.arch.model_type={model_type}: not an architecture transformers knows. Choose a preset (llm=tiny, "
            "llm=opt-125m, ...), or give real weights: llm.path=DIR|FILE.gguf or llm.name=HUB_ID"
        )
    # A config takes any field and drops what it does not know: a misspelt one would leave a default behind silently.
    known = set(AutoConfig.for_model(model_type).to_dict()) | _OLD_FIELDS
    if unknown := sorted(set(arch) - known):
        raise LlmError(
            f"llm.arch: {', '.join(unknown)}: no such field in a {model_type} config. It has {sorted(known)}"
        )
    try:
        return AutoConfig.for_model(model_type, **arch)
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise LlmError(f"llm.arch: no {model_type} config can be made of these fields: {reason(error)}") from error


def _plain(value: Any) -> Any:
    """Mappings of any kind (OmegaConf's, for one) as dicts: transformers tells them apart."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from `seed` inside the block and restore the generators that are drawn from after it."""
    drawn_on = [] if device.type in ("cpu", "meta") else [device]
    with torch.random.fork_rng(devices=drawn_on, device_type=device.type if drawn_on else "cuda"):
        torch.manual_seed(seed)
        yield
