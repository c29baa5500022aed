"""The architecture presets against what was published."""

from __future__ import annotations

import pytest
import torch
import yaml

from ilora.config import LlmConfig
from ilora.config.load import CONF_DIR, llm_preset_names, load_config
from ilora.llm import LlmError, build_random, resolve_target_modules

LLAMA_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OPT_PROJECTIONS = ("k_proj", "v_proj", "q_proj", "out_proj", "fc1", "fc2")

# Parameters as the model cards and the published checkpoints have them.
PUBLISHED = {
    "gemma-2b": 2_506_172_416,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b": 7_241_732_096,
    "opt-1.3b": 1_315_758_080,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "qwen1.5-1.8b": 1_836_828_672,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "smollm2-135m": 134_515_008,
    "tiny": 1_008_576,
    "tiny-opt": 412_672,
}


def preset(name: str) -> LlmConfig:
    return load_config([f"llm={name}"]).llm


def test_every_preset_is_counted() -> None:
    assert set(llm_preset_names()) == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_preset_has_the_published_number_of_parameters(name: str) -> None:
    model = build_random(preset(name).arch, dtype=torch.bfloat16, device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]
    expected = OPT_PROJECTIONS if "opt" in name else LLAMA_PROJECTIONS
    assert resolve_target_modules(model, ["auto"]) == expected


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_preset_says_where_it_comes_from_and_is_named_after_its_file(name: str) -> None:
    text = (CONF_DIR / "llm" / f"{name}.yaml").read_text()
    assert text.startswith("# source: ")
    assert yaml.safe_load(text)["preset"] == name


def test_what_no_parameter_count_shows_is_as_published() -> None:
    names = ("mistral-7b", "qwen2.5-7b", "opt-350m", "smollm2-135m", "llama-3.1-8b", "llama-3.2-1b")
    arch = {name: preset(name).arch for name in names}
    assert arch["mistral-7b"]["sliding_window"] == 4096
    assert arch["mistral-7b"]["rope_parameters"]["rope_theta"] == 10_000
    assert arch["qwen2.5-7b"]["use_sliding_window"] is False
    assert arch["opt-350m"]["do_layer_norm_before"] is False
    assert arch["opt-350m"]["word_embed_proj_dim"] == 512
    assert arch["smollm2-135m"]["rope_parameters"]["rope_theta"] == 100_000
    assert [arch[name]["rope_parameters"]["factor"] for name in ("llama-3.1-8b", "llama-3.2-1b")] == [8.0, 32.0]


def test_named_projections_must_exist() -> None:
    model = build_random(preset("tiny").arch, dtype=torch.float32, device="meta")
    assert resolve_target_modules(model, ["q_proj", "layers.0.mlp.up_proj"]) == ("q_proj", "layers.0.mlp.up_proj")
    with pytest.raises(LlmError, match=r"no linear layer is called 'query'.*down_proj.*q_proj"):
        resolve_target_modules(model, ["q_proj", "query"])
    with pytest.raises(LlmError, match="blocks of a Linear cannot be told"):
        resolve_target_modules(torch.nn.Linear(2, 2), ["auto"])
