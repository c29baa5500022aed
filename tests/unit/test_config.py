"""Presets, overrides and the errors they raise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ilora.config import (
    Config,
    ConfigError,
    check_catalogue,
    check_device,
    dump_config,
    llm_preset_names,
    load_config,
    preset_names,
)

SHIPPED_LLMS = {
    "tiny", "smollm2-135m", "opt-125m", "opt-350m", "opt-1.3b", "qwen1.5-1.8b", "qwen2.5-0.5b", "qwen2.5-1.5b",
    "qwen2.5-7b", "gemma-2b", "llama-2-7b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "mistral-7b",
}  # fmt: skip


def test_the_default_is_the_teacher_preset() -> None:
    config = load_config()
    assert (config.stage, config.data.source, config.llm.preset) == ("teacher", "ml-100k", "smollm2-135m")


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_a_round_trip(name: str, tmp_path: Path) -> None:
    config = load_config(preset=name)
    file = tmp_path / "effective.yaml"
    file.write_text(dump_config(config))
    assert load_config(file=file) == config
    assert load_config(file=name) == config


def test_all_promised_language_models_are_shipped() -> None:
    assert set(llm_preset_names()) >= SHIPPED_LLMS
    for name in llm_preset_names():
        assert load_config([f"llm={name}"]).llm.arch["model_type"]


def test_choosing_a_language_model_forgets_the_path_of_the_one_before() -> None:
    assert load_config().llm.path is not None
    assert load_config(["llm=tiny"]).llm.path is None


def test_a_model_of_ones_own_leaves_nothing_of_the_preset_behind(tmp_path: Path) -> None:
    config = load_config(["llm.name=some/model", "llm.attn_implementation=eager"])
    assert (config.llm.preset, config.llm.path, config.llm.arch) == ("own", None, {})
    assert config.llm.attn_implementation == "eager"
    file = tmp_path / "effective.yaml"
    file.write_text(dump_config(config))
    assert load_config(file=file) == config


def test_order_of_typed_overrides_does_not_matter_for_the_language_model() -> None:
    assert load_config(["llm.seed=7", "llm=tiny"]) == load_config(["llm=tiny", "llm.seed=7"])


def test_a_file_may_name_the_language_model_in_one_word(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("llm: tiny\ntrain: {lr: 1e-3, max_steps: 3}\n")
    config = load_config(["train.max_steps=4"], file=file)
    assert (config.llm.preset, config.train.lr, config.train.max_steps) == ("tiny", 1e-3, 4)


@pytest.mark.parametrize(
    ("overrides", "key", "says"),
    [
        (["train.batchsize=2"], "train.batchsize", "Did you mean train.batch_size?"),
        (["nonsense=1"], "nonsense", "one of the keys"),
        (["train.batch_size=two"], "train.batch_size", "an integer, at least 1"),
        (["train.batch_size=0"], "train.batch_size", "an integer, at least 1"),
        (["train.lr=nan"], "train.lr", "a number, at least 0"),
        (["train.gradient_checkpointing=maybe"], "train.gradient_checkpointing", "true or false"),
        (["train.loop=lightening"], "train.loop", "Did you mean train.loop=lightning?"),
        (["lora.r=9"], "lora.num_experts", "1, 3, 9"),
        (["lora.target_modules=[]"], "lora.target_modules", "[auto]"),
        (["llm=opt-125"], "llm", "Did you mean llm=opt-125m?"),
        (["llm.path=a", "llm.name=b"], "llm.name", "null when llm.path is set"),
        (["data.source=table"], "data.path", "Type data.path=..."),
        (["data.min_history=11"], "data.min_history", "1..10"),
        (["train.devices=2"], "train.devices", "train.loop=lightning"),
        (["train.use_reentrant=true"], "train.use_reentrant", "second time"),
        (["llm.attn_implementation=flash_attention_2"], "eval.scoring", "sdpa and eager"),
        (["eval.export=true"], "eval.export", "model.head=items"),
        (["compat=reference", "lora.gate=per_layer_linear"], "lora.gate", "conv, linear or mlp"),
        (["train.batch_size"], "train.batch_size", "train.batch_size: allowed is key=value"),
        (["train={"], "train", "one of the keys"),
        (["data.path=[a"], "data.path", "YAML"),
    ],
)
def test_bad_values_name_key_and_what_is_allowed(overrides: list[str], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides)
    assert caught.value.key == key
    assert says in str(caught.value)


def test_a_missing_or_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml.*No such file"):
        load_config(file=tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("train: [")
    with pytest.raises(ConfigError, match="a readable YAML file"):
        load_config(file=broken)
    flat = tmp_path / "flat.yaml"
    flat.write_text("- 1\n")
    with pytest.raises(ConfigError, match="a YAML mapping"):
        load_config(file=flat)


def test_fp16_is_refused_on_a_cpu_and_accepted_on_a_gpu() -> None:
    config = load_config(["train.precision=fp16"])
    check_device(config, "cuda")
    with pytest.raises(ConfigError, match=r"train\.precision=fp16"):
        check_device(config, "cpu")


@pytest.mark.parametrize(("device", "says"), [("cpu", "FSDP needs GPUs"), ("cuda", "must hold whole")])
def test_fsdp_is_refused_with_the_reason(device: str, says: str) -> None:
    config = load_config(["train.strategy=fsdp", "train.loop=lightning"])
    with pytest.raises(ConfigError, match=says):
        check_device(config, device)


def test_the_loss_scaler_is_the_plain_loops() -> None:
    with pytest.raises(ConfigError, match=r"train\.loop=plain"):
        check_device(load_config(["train.precision=fp16", "train.loop=lightning"]), "cuda")


def test_candidates_must_leave_room_for_the_history() -> None:
    config = load_config(["data.num_candidates=20", "data.max_history=10"])
    check_catalogue(config, 30)
    with pytest.raises(ConfigError, match=r"data\.num_candidates=20: allowed is 2\.\.19"):
        check_catalogue(config, 29)


def test_compat_reference_sets_what_the_release_does_unless_told_otherwise() -> None:
    assert load_config(["compat=reference"]).lora.gate_norm == "batch"
    assert load_config(["compat=reference", "lora.gate_norm=none"]).lora.gate_norm == "none"
    assert load_config().lora.gate_norm == "layer"


def test_every_key_is_documented() -> None:
    from ilora.config.validate import all_keys

    undocumented = [key for key, _, field in all_keys(Config) if not field.metadata.get("doc")]
    assert undocumented == []


def test_the_configuration_imports_without_torch() -> None:
    code = "import sys, ilora.config; ilora.config.load_config(preset='tiny'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
