"""The architectures of transformers: four layers of the published width, one training step in bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from benchmarks.coverage.outcome import ANYWHERE, CARRIED, FAILED, Outcome, attempt, failure, first_line
from probes.virtual import virtual_cuda

KINDS = {
    "causal": ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"),
    "masked": ("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING_NAMES"),
    "seq2seq": ("AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"),
    "image": ("AutoModelForImageClassification", "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES"),
}
_LAYERS = 4
_COUNTS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "decoder_layers")
_MEMORY = 1 << 40


def models(kind: str) -> Iterator[Outcome]:
    """Every architecture of a kind whose configuration can be made without a file."""
    import transformers
    from transformers.models.auto import modeling_auto

    transformers.logging.set_verbosity_error()
    auto, mapping = KINDS[kind]
    for name in getattr(modeling_auto, mapping):
        made: list[Any] = []
        if attempt(lambda: made.append(_shortened(transformers.AutoConfig.for_model(name))), seconds=20) is None:  # noqa: B023
            yield _model(name, getattr(transformers, auto), made[0], kind)


def _shortened(config: Any) -> Any:
    text = config.get_text_config()
    for one in {id(config): config, id(text): text}.values():
        for name in _COUNTS:
            if isinstance(getattr(one, name, None), int):
                setattr(one, name, min(_LAYERS, getattr(one, name)))
        if isinstance(getattr(one, "layer_types", None), list):
            one.layer_types = one.layer_types[:_LAYERS]
    return config


def _model(name: str, auto: Any, config: Any, kind: str) -> Outcome:
    error = attempt(partial(_step, auto, config, kind), seconds=60)
    if error is None:
        return Outcome(name=name, kind=CARRIED)
    told = failure(name, error)
    if told.kind != FAILED:
        return told
    same = attempt(lambda: _forward(_built(auto, config, "meta"), config, kind, "meta"), seconds=60)
    return replace(told, kind=ANYWHERE) if same is not None and first_line(same)[:100] in told.detail else told


def _step(auto: Any, config: Any, kind: str) -> None:
    with virtual_cuda("h100", memory=_MEMORY, environ={}):
        model = _built(auto, config, "cuda")
        _forward(model, config, kind, "cuda").backward()
        torch.optim.AdamW(model.parameters()).step()


def _built(auto: Any, config: Any, device: str) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            return auto.from_config(config).train()
    finally:
        torch.set_default_dtype(before)


def _forward(model: Any, config: Any, kind: str, device: str) -> Any:
    if kind == "image":
        size = getattr(config, "image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size[:2]
        pixels = torch.randn(2, getattr(config, "num_channels", 3), height, width, device=device, dtype=torch.bfloat16)
        return model(pixel_values=pixels, labels=torch.zeros(2, dtype=torch.long, device=device)).loss
    ids = torch.randint(5, 100, (2, 64), device=device)
    return model(input_ids=ids, labels=ids, attention_mask=torch.ones_like(ids)).loss
