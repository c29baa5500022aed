"""Where a language model comes from, and what it is like when it arrives."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from ilora.config import LlmConfig
from ilora.llm import LlmError, LoadedLlm, build_random, load_llm
from ilora.tokenizer import train_tokenizer


def weights(loaded: LoadedLlm) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in loaded.model.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_random_weights_are_frozen_in_eval_mode_and_in_the_asked_type(tiny: LlmConfig, dtype: torch.dtype) -> None:
    loaded = load_llm(tiny, dtype=dtype)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.source == "random weights (tiny, seed 0)"


def test_random_weights_are_seeded_and_leave_the_global_generator_alone(tiny: LlmConfig) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights(load_llm(tiny, dtype=torch.float32))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(weights(load_llm(tiny, dtype=torch.float32)), first)
    tiny.seed = 7
    assert not torch.equal(weights(load_llm(tiny, dtype=torch.float32)), first)


def test_random_weights_come_with_a_tokenizer_that_fits_them(tiny: LlmConfig) -> None:
    loaded = load_llm(tiny, dtype=torch.float32, texts=[" Toy Story", " Toy Soldiers"])
    tokenizer, config = loaded.tokenizer, loaded.model.config
    assert tokenizer.vocab_size == config.vocab_size == loaded.model.get_input_embeddings().weight.shape[0]
    assert len(tokenizer.encode(" Toy")) == 1
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.pad_id,
    )


def test_a_tokenizer_folder_replaces_the_trained_one(tiny: LlmConfig, tmp_path: Path) -> None:
    train_tokenizer([" abc abc"], 300).save(tmp_path)
    tiny.tokenizer = str(tmp_path)
    assert len(load_llm(tiny, dtype=torch.float32).tokenizer.encode(" abc")) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_folder_gives_back_the_weights_and_the_tokenizer_it_was_saved_with(
    tiny_folder: Path, tiny_llm: LoadedLlm, dtype: torch.dtype
) -> None:
    loaded = load_llm(LlmConfig(path=str(tiny_folder)), dtype=dtype)
    assert torch.equal(weights(loaded), weights(tiny_llm).to(dtype))
    assert loaded.tokenizer.encode(" some titles") == tiny_llm.tokenizer.encode(" some titles")
    assert loaded.source == "tiny"
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_a_folder_without_tokenizer_says_what_is_missing_and_how_to_name_another(tiny_folder: Path) -> None:
    for file in tiny_folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(LlmError, match=r"no tokenizer in .*tokenizer\.json.*llm\.tokenizer=DIR"):
        load_llm(LlmConfig(path=str(tiny_folder)), dtype=torch.float32)


def test_a_truncated_weight_file_is_an_error(tiny_folder: Path) -> None:
    file = tiny_folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(LlmError, match=r"weights in .* cannot be read"):
        load_llm(LlmConfig(path=str(tiny_folder)), dtype=torch.float32)


def test_missing_weights_are_an_error_where_transformers_would_invent_them(
    tiny_folder: Path, tiny_llm: LoadedLlm
) -> None:
    state = dict(tiny_llm.model.state_dict())
    del state["model.layers.1.mlp.up_proj.weight"]
    tiny_llm.model.save_pretrained(tiny_folder, state_dict=state)
    with pytest.raises(LlmError, match=r"1 weights are missing, model\.layers\.1\.mlp\.up_proj\.weight"):
        load_llm(LlmConfig(path=str(tiny_folder)), dtype=torch.float32)


def test_a_tokenizer_with_more_ids_than_the_embedding_has_rows_is_refused(tiny_folder: Path) -> None:
    many = [f" {chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{i}" * 2 for i in range(3000)]
    train_tokenizer(many, 3000).save(tiny_folder)
    with pytest.raises(LlmError, match=r"ids up to \d+, the model's embedding has 1024 rows"):
        load_llm(LlmConfig(path=str(tiny_folder)), dtype=torch.float32)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("absent", "not there"),
        ("file.bin", r"a file, but no \.gguf"),
        ("empty", r"no config\.json"),
        ("x.gguf", "no such"),
    ],
)
def test_a_path_that_holds_no_model_is_named(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.bin").write_bytes(b"")
    with pytest.raises(LlmError, match=f"llm.path=.*{name}: {complaint}"):
        load_llm(LlmConfig(path=str(tmp_path / name)), dtype=torch.float32, cache_dir=tmp_path)


def test_without_a_network_a_hub_id_says_what_to_do_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(LlmError, match=r"llm\.name=no-one/no-model: cannot be loaded.*llm\.path=DIR"):
        load_llm(LlmConfig(name="no-one/no-model"), dtype=torch.float32)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_type": "llamma"}, "model_type=llamma: not an architecture"),
        ({"hidden_sise": 64}, "hidden_sise: no such field in a llama config"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"hidden_size": 193}, "hidden size .193. is not a multiple"),
        ({"vocab_size": None}, "vocab_size=None"),
        ({"vocab_size": 100}, "needs 259 ids"),
    ],
)
def test_an_impossible_architecture_names_the_field(
    tiny: LlmConfig, changes: dict[str, object], complaint: str
) -> None:
    tiny.arch = {**tiny.arch, **changes}
    with pytest.raises(LlmError, match=complaint):
        load_llm(tiny, dtype=torch.float32)


def test_older_spellings_of_rotary_settings_are_understood(tiny: LlmConfig) -> None:
    arch = {**tiny.arch, "rope_theta": 777.0}
    del arch["rope_parameters"]
    model = build_random(arch, dtype=torch.float32, device="meta")
    assert model.config.rope_parameters["rope_theta"] == 777.0


def test_building_on_the_meta_device_makes_no_weights(tiny: LlmConfig) -> None:
    model = build_random(tiny.arch, dtype=torch.bfloat16, device="meta")
    assert all(parameter.is_meta and parameter.dtype == torch.bfloat16 for parameter in model.parameters())
