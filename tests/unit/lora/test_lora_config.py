"""The configuration refuses what cannot be, and says what can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peft import PeftConfig

from ilora.config import ConfigError
from ilora.lora import MoeLoraConfig
from ilora.lora.config import GATES


def test_the_public_door_takes_the_documented_names() -> None:
    config = MoeLoraConfig(r=16, lora_alpha=8.0, num_experts=8, gate="mlp", target_modules=["q_proj"], lora_dropout=0.1)
    assert config.scaling == 4.0


def test_the_scaling_is_that_of_the_release_by_default() -> None:
    assert MoeLoraConfig().scaling == 16.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"r": 8, "num_experts": 3}, "num_experts=3: allowed is a divisor of r=8. Those are 1, 2, 4, 8"),
        ({"r": 4, "num_experts": 8}, "num_experts=8: allowed is a divisor of r=4"),
        ({"r": 8.0}, "r=8.0: allowed is an integer of at least 1"),
        ({"r": True}, "r=True: allowed is an integer"),
        ({"r": 0}, "r=0: allowed is an integer of at least 1"),
        ({"num_experts": -1}, "num_experts=-1: allowed is an integer"),
        ({"user_size": 0}, "user_size=0: allowed is an integer"),
        ({"gate_hidden_size": "128"}, "gate_hidden_size=128: allowed is an integer"),
        ({"gate": "Standard"}, "gate=Standard: allowed is conv, linear, mlp, per_layer_linear"),
        ({"gate": None}, "gate=None: allowed is conv"),
        ({"gate_norm": "instance"}, "gate_norm=instance: allowed is batch, layer, none"),
        ({"lora_dropout": 1.0}, "lora_dropout=1.0: allowed is a number of at least 0 and less than 1"),
        ({"lora_dropout": "0.1"}, "lora_dropout=0.1: allowed is a number"),
        ({"lora_alpha": -1}, "lora_alpha=-1: allowed is a number"),
        ({"lora_alpha": float("nan")}, "lora_alpha=nan: allowed is a number"),
    ],
)
def test_impossible_values_are_refused_with_key_value_and_what_is_allowed(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MoeLoraConfig(**values)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("alias", "gate"),
    [
        ("share", "conv"),
        ("shared", "conv"),
        ("Dense", "linear"),
        ("unshare", "per_layer_linear"),
        ("per_layer", "per_layer_linear"),
        ("MLP", "mlp"),
    ],
)
def test_the_releases_words_for_gates_are_understood(alias: str, gate: str) -> None:
    assert MoeLoraConfig(gate=alias).gate == gate


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_is_shared_or_per_layer_or_external(gate: str) -> None:
    config = MoeLoraConfig(gate=gate)
    assert config.has_shared_router + config.has_layer_gates + (gate == "external") == 1


def test_a_saved_configuration_is_found_by_its_method_and_says_the_same(tmp_path: Path) -> None:
    config = MoeLoraConfig(r=4, num_experts=2, gate="mlp", user_size=112, target_modules={"v_proj", "q_proj"})
    config.save_pretrained(str(tmp_path))

    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    loaded = PeftConfig.from_pretrained(str(tmp_path))

    assert saved["peft_type"] == "MOE_LORA"
    assert saved["target_modules"] == ["q_proj", "v_proj"]
    assert type(loaded) is MoeLoraConfig
    assert loaded.to_dict() == config.to_dict()
