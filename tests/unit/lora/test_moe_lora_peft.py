"""MoE-LoRA through PEFT's own doors: injection, training, saving, loading, adapters, merging."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PeftType, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ilora.lora import (
    AdapterStateError,
    GateMissingError,
    GateShapeError,
    Linear,
    MergeNeedsGatesError,
    MoeLoraConfig,
    MoeLoraModel,
    UnsupportedLayerError,
    gate_context,
    merge_with_gates,
    use_gates,
    use_users,
)

MakeModel = Callable[..., PreTrainedModel]
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and will be removed in v6:FutureWarning")

Randomise = Callable[[nn.Module], None]

R, NUM_EXPERTS, ALPHA, USER_SIZE = 8, 4, 32.0, 10
RHO = R // NUM_EXPERTS
EVERY_GATE = ["conv", "linear", "mlp", "per_layer_linear", "per_layer_mlp"]
IDS = torch.tensor([[3, 9, 27, 31], [1, 5, 25, 7], [2, 4, 8, 16]])


def config(gate: str = "conv", **changes: object) -> MoeLoraConfig:
    settings = {"r": R, "num_experts": NUM_EXPERTS, "lora_alpha": ALPHA, "gate": gate, "user_size": USER_SIZE}
    return MoeLoraConfig(**(settings | changes))


def users(seed: int = 0) -> Tensor:
    return torch.randn(len(IDS), USER_SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 4


def logits(model: nn.Module) -> Tensor:
    output: Tensor = model(input_ids=IDS).logits
    return output


@pytest.fixture(params=["llama", "opt"])
def make_base(request: pytest.FixtureRequest, make_llama: MakeModel, make_opt: MakeModel) -> MakeModel:
    return make_llama if request.param == "llama" else make_opt


# --- against plain LoRA --------------------------------------------------------------------------------------------


def plain_lora(model: PeftModel, base: PreTrainedModel, scaling: float, ranks: slice) -> PeftModel:
    """PEFT's own LoRA with the given ranks of the adapted model's weights."""
    rank = len(range(R)[ranks])
    plain = get_peft_model(base, LoraConfig(r=rank, lora_alpha=scaling * rank, target_modules="all-linear")).double()
    layers = dict(model.named_modules())
    with torch.no_grad():
        for name, module in plain.named_modules():
            if name in layers and isinstance(layers[name], Linear):
                module.lora_A["default"].weight.copy_(layers[name].lora_A["default"].weight[ranks])
                module.lora_B["default"].weight.copy_(layers[name].lora_B["default"].weight[:, ranks])
    return plain.eval()


def test_uniform_gates_equal_plain_lora(make_base: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_base(), config("external")).double().eval()
    randomise_b(model)
    plain = plain_lora(model, make_base(), scaling=ALPHA / R, ranks=slice(0, R))
    with use_gates(model, torch.full((1, NUM_EXPERTS), 1 / NUM_EXPERTS)):
        assert torch.allclose(logits(model), logits(plain), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("expert", range(NUM_EXPERTS))
def test_a_one_hot_gate_equals_plain_lora_on_that_slice(
    make_base: MakeModel, randomise_b: Randomise, expert: int
) -> None:
    model = get_peft_model(make_base(), config("external")).double().eval()
    randomise_b(model)
    ranks = slice(expert * RHO, (expert + 1) * RHO)
    plain = plain_lora(model, make_base(), scaling=ALPHA / RHO, ranks=ranks)
    with use_gates(model, torch.eye(NUM_EXPERTS)[expert].unsqueeze(0)):
        assert torch.allclose(logits(model), logits(plain), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gate", EVERY_GATE)
def test_a_fresh_adapter_changes_nothing(make_base: MakeModel, gate: str) -> None:
    expected = logits(make_base())
    model = get_peft_model(make_base(), config(gate)).double()
    with use_users(model, users()):
        assert torch.equal(logits(model), expected)


# --- training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", [*EVERY_GATE, "external"])
def test_adapter_and_gates_train_and_nothing_else(make_base: MakeModel, randomise_b: Randomise, gate: str) -> None:
    model = get_peft_model(make_base(), config(gate)).double()
    randomise_b(model)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if "lora_" in name}

    in_use = use_gates(model, torch.rand(3, NUM_EXPERTS)) if gate == "external" else use_users(model, users())
    with in_use:
        model(input_ids=IDS, labels=IDS).loss.backward()

    assert {name for name, p in model.named_parameters() if p.grad is not None} == trainable


def test_gradients_flow_into_gates_given_from_outside(make_llama: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_llama(), config("external")).double()
    randomise_b(model)
    gates = torch.rand(3, NUM_EXPERTS, requires_grad=True)
    with use_gates(model, gates):
        model(input_ids=IDS, labels=IDS).loss.backward()
    assert gates.grad is not None
    assert (gates.grad != 0).all()


def test_each_sample_gets_its_own_users_gates(make_base: MakeModel, randomise_b: Randomise) -> None:
    for gate in EVERY_GATE:
        model = get_peft_model(make_base(), config(gate)).double().eval()
        randomise_b(model)
        with use_users(model, users()):
            together = logits(model)
        with use_users(model, users()[1:2]):
            alone = model(input_ids=IDS[1:2]).logits
        assert torch.allclose(together[1:2], alone, rtol=1e-10, atol=1e-12), gate
        with use_users(model, users(seed=1)):
            assert not torch.allclose(logits(model), together, rtol=1e-6), gate


def test_switching_the_adapter_off_gives_the_base_model_and_needs_no_gates(
    make_llama: MakeModel, randomise_b: Randomise
) -> None:
    model = get_peft_model(make_llama(), config()).double().eval()
    randomise_b(model)
    with model.disable_adapter():
        assert torch.equal(logits(model), logits(make_llama()))
    with pytest.raises(GateMissingError):
        logits(model)


def test_generation_repeats_gates_for_beams_on_request(make_llama: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_llama(), config("external")).double().eval()
    randomise_b(model)
    gates, settings = torch.rand(3, NUM_EXPERTS), {"max_new_tokens": 3, "do_sample": False, "num_beams": 2}
    with use_gates(model, gates), pytest.raises(GateShapeError, match="repeat_interleave"):
        model.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), **settings)
    with use_gates(model, gates.repeat_interleave(2, dim=0)):
        assert model.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), **settings).shape == (3, 7)


def test_base_weights_keep_their_storage(make_base: MakeModel) -> None:
    base = make_base()
    before = {parameter.data_ptr() for parameter in base.parameters()}
    model = get_peft_model(base, config())
    frozen = {p.data_ptr() for name, p in model.named_parameters() if "lora_" not in name}
    assert frozen == before


# --- saving and loading --------------------------------------------------------------------------------------------


def test_names_in_the_state_dict_of_a_one_layer_model_are_stable(make_llama: MakeModel) -> None:
    model = get_peft_model(
        make_llama(num_layers=1), config("mlp", target_modules=["q_proj", "down_proj"], gate_norm="layer")
    )
    layer = "base_model.model.model.layers.0."
    assert {name for name in model.state_dict() if "lora_" in name} == {
        "base_model.lora_router.default.hidden_bias",
        "base_model.lora_router.default.hidden_weight",
        "base_model.lora_router.default.out_bias",
        "base_model.lora_router.default.out_weight",
        layer + "mlp.down_proj.lora_A.default.weight",
        layer + "mlp.down_proj.lora_B.default.weight",
        layer + "self_attn.q_proj.lora_A.default.weight",
        layer + "self_attn.q_proj.lora_B.default.weight",
    }


def test_names_in_the_file_of_a_one_layer_model_are_stable(make_llama: MakeModel, tmp_path: Path) -> None:
    model = get_peft_model(make_llama(num_layers=1), config("per_layer_linear", target_modules=["q_proj"]))
    model.save_pretrained(str(tmp_path))
    projection = "base_model.model.model.layers.0.self_attn.q_proj."
    assert set(load_file(tmp_path / "adapter_model.safetensors")) == {
        projection + "lora_A.weight",
        projection + "lora_B.weight",
        projection + "lora_gate.out_weight",
    }


@pytest.mark.parametrize("gate", EVERY_GATE)
@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_a_saved_adapter_loads_to_the_same_function(
    make_base: MakeModel, randomise_b: Randomise, tmp_path: Path, gate: str, low_cpu_mem_usage: bool
) -> None:
    model = get_peft_model(make_base(dtype=torch.float32), config(gate, gate_norm="batch"))
    randomise_b(model)
    with use_users(model, users()):  # in training mode: moves the router's running statistics
        model(input_ids=IDS)
    model.save_pretrained(str(tmp_path))
    model.eval()

    loaded = PeftModel.from_pretrained(
        make_base(dtype=torch.float32), str(tmp_path), low_cpu_mem_usage=low_cpu_mem_usage
    )

    with use_users(model, users()), use_users(loaded, users()):
        assert torch.equal(logits(loaded), logits(model))
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [name for name, p in loaded.named_parameters() if p.requires_grad] == []


def test_running_statistics_of_the_router_are_saved(make_llama: MakeModel, tmp_path: Path) -> None:
    model = get_peft_model(make_llama(), config(gate_norm="batch"))
    with use_users(model, users()):
        pass
    model.save_pretrained(str(tmp_path))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    mean = saved["base_model.lora_router.norm3_running_mean"]
    assert torch.equal(mean, model.base_model.router.get_buffer("norm3_running_mean"))
    assert (mean != 0).any()


def test_an_adapter_loaded_for_training_trains(make_llama: MakeModel, tmp_path: Path) -> None:
    get_peft_model(make_llama(), config()).save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(make_llama(), str(tmp_path), is_trainable=True)
    names = {name for name, p in loaded.named_parameters() if p.requires_grad}
    assert names == {name for name, _ in loaded.named_parameters() if "lora_" in name}


def test_weights_keep_their_precision_when_loaded_over_a_half_precision_base(
    make_llama: MakeModel, tmp_path: Path
) -> None:
    base = make_llama(dtype=torch.bfloat16)
    model = get_peft_model(base, config())
    model.save_pretrained(str(tmp_path))
    for low_cpu_mem_usage in (False, True):
        loaded = PeftModel.from_pretrained(
            make_llama(dtype=torch.bfloat16), str(tmp_path), low_cpu_mem_usage=low_cpu_mem_usage
        )
        adapters = {name: p for name, p in loaded.named_parameters() if "lora_" in name}
        assert {p.dtype for p in adapters.values()} == {torch.float32}
        assert all(torch.equal(p, model.get_parameter(name)) for name, p in adapters.items())


def damaged(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> str:
    """The adapter in `folder` with its tensors changed."""
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return str(folder)


LOST = "base_model.lora_router.norm3_running_var"


def rename(tensors: dict[str, Tensor]) -> None:
    for name in list(tensors):
        tensors["renamed." + name] = tensors.pop(name)


def test_a_missing_tensor_is_an_error_that_names_it(make_llama: MakeModel, tmp_path: Path) -> None:
    get_peft_model(make_llama(), config(gate_norm="batch")).save_pretrained(str(tmp_path))
    folder = damaged(tmp_path, lambda tensors: tensors.pop(LOST))
    with pytest.raises(AdapterStateError, match=r"missing: base_model\.lora_router\.default\.norm3_running_var"):
        PeftModel.from_pretrained(make_llama(), folder)


@pytest.mark.parametrize(
    "surplus",
    [
        "base_model.lora_router.conv99_weight",
        "base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight",
        "base_model.model.stray",
    ],
)
def test_a_surplus_tensor_is_an_error_that_names_it(make_llama: MakeModel, tmp_path: Path, surplus: str) -> None:
    get_peft_model(make_llama(), config()).save_pretrained(str(tmp_path))
    folder = damaged(tmp_path, lambda tensors: tensors.update({surplus: torch.zeros(1)}))
    with pytest.raises(AdapterStateError) as caught:
        PeftModel.from_pretrained(make_llama(), folder)
    (named,) = caught.value.surplus
    assert named.rpartition(".")[2] == surplus.rpartition(".")[2]


@pytest.mark.parametrize("change", [dict.clear, rename])
def test_a_file_with_nothing_for_the_adapter_is_an_error(
    make_llama: MakeModel, tmp_path: Path, change: Callable[[dict[str, Tensor]], None]
) -> None:
    get_peft_model(make_llama(), config()).save_pretrained(str(tmp_path))
    with pytest.raises(AdapterStateError, match="no adapter weight in it"):
        PeftModel.from_pretrained(make_llama(), damaged(tmp_path, change))


def test_a_tensor_of_another_shape_is_an_error_that_names_it(make_llama: MakeModel, tmp_path: Path) -> None:
    get_peft_model(make_llama(), config()).save_pretrained(str(tmp_path))
    folder = damaged(
        tmp_path, lambda tensors: tensors.update({"base_model.lora_router.out_weight": torch.zeros(3, 64)})
    )
    with pytest.raises(RuntimeError, match=r"size mismatch for base_model\.lora_router\.default\.out_weight"):
        PeftModel.from_pretrained(make_llama(), folder)


def test_weights_of_the_base_model_alone_may_still_be_loaded(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config())
    base = {name: tensor for name, tensor in model.state_dict().items() if "lora_" not in name}
    assert model.load_state_dict(base, strict=False).unexpected_keys == []


def test_models_with_adapters_can_be_copied_and_pickled(make_llama: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_llama(), config()).double().eval()
    randomise_b(model)
    for clone in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert gate_context(clone) is not gate_context(model)
        with use_users(model, users()), use_users(clone, users()):
            assert torch.equal(logits(clone), logits(model))


# --- several adapters ----------------------------------------------------------------------------------------------


def test_named_adapters_take_turns_with_their_own_routers(
    make_llama: MakeModel, randomise_b: Randomise, tmp_path: Path
) -> None:
    model = get_peft_model(make_llama(dtype=torch.float32), config("conv"), adapter_name="first").eval()
    model.add_adapter("second", config("mlp", num_experts=2, target_modules=["q_proj"]))
    randomise_b(model)
    outputs = {}
    for name in ("first", "second"):
        model.set_adapter(name)
        names = {n for n, p in model.named_parameters() if p.requires_grad}
        assert names == {n for n, _ in model.named_parameters() if "lora_" in n and f".{name}." in n}
        with use_users(model, users()):
            outputs[name] = logits(model)
    assert not torch.allclose(outputs["first"], outputs["second"])

    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(make_llama(dtype=torch.float32), str(tmp_path / "second"), adapter_name="second")
    loaded.load_adapter(str(tmp_path / "first"), adapter_name="first")
    for name, expected in outputs.items():
        loaded.set_adapter(name)
        with use_users(loaded, users()):
            assert torch.equal(logits(loaded), expected)


def test_an_adapter_added_later_does_not_train_until_it_is_active(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config("conv"))
    model.add_adapter("second", config("mlp"))
    assert [n for n, p in model.named_parameters() if p.requires_grad and ".second." in n] == []
    model.set_requires_grad("second")
    assert model.base_model.lora_router["second"].out_weight.requires_grad


def test_two_active_adapters_are_refused(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config())
    model.add_adapter("second", config())
    with pytest.raises(ValueError, match="one active MoE-LoRA adapter"):
        model.base_model.set_adapter(["default", "second"])


def test_a_deleted_adapter_leaves_nothing(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config())
    model.add_adapter("second", config("per_layer_mlp"))
    model.add_adapter("third", config("conv"))
    model.delete_adapter("second")
    model.delete_adapter("third")
    assert [name for name in model.state_dict() if "second" in name or "third" in name] == []
    with use_users(model, users()):
        logits(model)


# --- merging -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["merge_and_unload", "merge_adapter"])
def test_a_merge_without_gates_is_refused_and_changes_nothing(
    make_llama: MakeModel, randomise_b: Randomise, merge: str
) -> None:
    model = get_peft_model(make_llama(), config())
    randomise_b(model)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(MergeNeedsGatesError, match="merge_with_gates"):
        getattr(model, merge)()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_model_merged_for_one_mixture_answers_as_with_it(make_base: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_base(), config("external")).double().eval()
    randomise_b(model)
    gates = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    with use_gates(model, gates.unsqueeze(0)):
        gated = logits(model)

    merge_with_gates(model, gates)
    assert torch.allclose(logits(model), gated, rtol=1e-10, atol=1e-12)

    model.unmerge_adapter()
    with model.disable_adapter():
        assert torch.allclose(logits(model), logits(make_base()), rtol=1e-10, atol=1e-12)
    with use_gates(model, gates.unsqueeze(0)):
        assert torch.allclose(logits(model), gated, rtol=1e-10, atol=1e-12)


def test_a_merged_model_can_be_unloaded_for_good(make_llama: MakeModel, randomise_b: Randomise) -> None:
    model = get_peft_model(make_llama(), config("external")).double().eval()
    randomise_b(model)
    with use_gates(model, torch.eye(NUM_EXPERTS)[:1]):
        gated = logits(model)
    merge_with_gates(model, torch.eye(NUM_EXPERTS)[0])
    assert torch.allclose(logits(model.unload()), gated, rtol=1e-10, atol=1e-12)


def test_unloading_gives_the_base_model_back(make_llama: MakeModel) -> None:
    base = make_llama()
    assert get_peft_model(base, config()).unload() is base
    assert [name for name, _ in base.named_modules() if "lora" in name] == []
    assert torch.equal(logits(base), logits(make_llama()))


# --- what is refused, and the registration -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning")
def test_a_weight_shared_with_another_module_is_refused_by_both_names(make_llama: MakeModel) -> None:
    with pytest.raises(UnsupportedLayerError, match=r"lm_head shares its weight with model\.embed_tokens"):
        get_peft_model(make_llama(tie=True), config(target_modules=["lm_head"]))


def test_an_embedding_is_refused_by_name(make_llama: MakeModel) -> None:
    with pytest.raises(UnsupportedLayerError, match="Embedding is no linear layer"):
        get_peft_model(make_llama(), config(target_modules=["embed_tokens"]))


def test_a_layer_with_another_methods_adapter_is_refused(make_llama: MakeModel) -> None:
    base = make_llama()
    get_peft_model(base, LoraConfig(target_modules=["q_proj"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UnsupportedLayerError, match="adapted already, by peft"):
            get_peft_model(base, config(target_modules=["q_proj"]))


def test_external_gates_have_no_router_to_ask(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config("external"))
    with pytest.raises(GateMissingError), use_users(model, users()):
        pass


def test_helpers_refuse_a_model_without_the_adapter(make_llama: MakeModel) -> None:
    with pytest.raises(TypeError, match="LlamaForCausalLM has no MoE-LoRA adapter"):
        use_gates(make_llama(), torch.ones(1, 4))


def test_helpers_take_the_tuner_as_well(make_llama: MakeModel) -> None:
    model = get_peft_model(make_llama(), config())
    assert isinstance(model.base_model, MoeLoraModel)
    assert gate_context(model.base_model) is gate_context(model)


def test_the_method_is_a_member_of_pefts_enumeration() -> None:
    member = PeftType.MOE_LORA
    assert member in list(PeftType)
    assert PeftType("MOE_LORA") is PeftType["MOE_LORA"] is member
    assert (member.value, member.name, str.__str__(member)) == ("MOE_LORA", "MOE_LORA", "MOE_LORA")
    assert pickle.loads(pickle.dumps(member)) is member
    assert PeftType.LORA.value == "LORA"


def test_parts_trained_in_full_are_saved_and_loaded_with_the_adapter(make_llama: MakeModel, tmp_path: Path) -> None:
    model = get_peft_model(make_llama(), config(modules_to_save=["lm_head"], target_modules=["q_proj"]))
    with torch.no_grad():
        model.base_model.model.lm_head.modules_to_save["default"].weight.fill_(0.5)
    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(make_llama(), str(tmp_path))
    assert (loaded.base_model.model.lm_head.modules_to_save["default"].weight == 0.5).all()
