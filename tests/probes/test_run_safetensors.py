"""Files of safetensors that a script saves and loads again on a virtual card."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from probes import run_safetensors
from probes.run_kept import SAVE, Kept
from probes.virtual import Machine, NotCarriedError, is_virtual
from probes.virtual.patches import Patches


@pytest.fixture
def kept(card: Machine) -> Iterator[Kept]:
    made = Kept()
    with Patches() as patches:
        run_safetensors.install(card, made, patches)
        yield made


def _tensors() -> dict[str, torch.Tensor]:
    return {
        "weight": torch.ones(64, 32, device="cuda", dtype=torch.bfloat16),
        "host": torch.arange(6.0).reshape(2, 3),
        "steps": torch.tensor([7], device="cuda"),
    }


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", 0])
def test_what_was_saved_is_loaded_where_it_is_wanted(kept: Kept, card: Machine, tmp_path: Path, device: Any) -> None:
    from safetensors.torch import load_file, save_file

    file, where = tmp_path / "model.safetensors", "cpu" if device == "cpu" else "cuda"
    save_file(_tensors(), file)
    before = torch.cuda.memory_allocated()
    found = load_file(file, device=device)
    assert {name: (value.device.type, value.shape, value.dtype) for name, value in found.items()} == {
        name: (where, value.shape, value.dtype) for name, value in _tensors().items()
    }
    assert found["host"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert found["steps"].item() == 7, "small known values are carried along"
    assert torch.cuda.memory_allocated() - before == (0 if where == "cpu" else 64 * 32 * 2 + 2 * 512)
    assert SAVE in card.notes.sentences()


def test_an_open_file_answers_as_one_with_values(kept: Kept, tmp_path: Path) -> None:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file

    real, pictured = tmp_path / "host.safetensors", tmp_path / "card.safetensors"
    tensors = {name: value for name, value in _tensors().items() if name != "steps"}
    save_file({name: torch.zeros(value.shape, dtype=value.dtype) for name, value in tensors.items()}, real, {"a": "b"})
    save_file(tensors, pictured, {"a": "b"})
    answers = []
    for path in (real, pictured):
        with safe_open(path, framework="pt") as file:
            part = file.get_slice("weight")
            answers.append(
                (
                    sorted(file.keys()),
                    sorted(file.offset_keys()),
                    sorted(file.get_tensors()),
                    file.metadata(),
                    part.get_shape(),
                    part.get_dtype(),
                    part[1:3, :4].shape,
                    part[...].dtype,
                    file.get_tensor("host").shape,
                )
            )
            with pytest.raises(SafetensorError, match="nothing"):
                file.get_tensor("nothing")
    assert answers[0] == answers[1]
    with pytest.raises(NotCarriedError, match="reading this file for numpy"):
        safe_open(pictured, framework="numpy")


def test_a_model_and_its_file_take_their_bytes_each(kept: Kept, tmp_path: Path) -> None:
    from safetensors.torch import load_model, save_model

    net = nn.Linear(1024, 1024, bias=False).cuda()
    save_model(net, str(tmp_path / "net.safetensors"))
    load_model(net, str(tmp_path / "net.safetensors"), device="cuda")
    assert torch.cuda.max_memory_allocated() == 2 * 4 << 20
    assert torch.cuda.memory_allocated() == 4 << 20
    assert is_virtual(net.weight)


def test_what_safetensors_refuses_is_refused(kept: Kept, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    weight = torch.ones(4, 4, device="cuda")
    with pytest.raises(RuntimeError, match="share memory"):
        save_file({"a": weight, "b": weight}, tmp_path / "tied.safetensors")
    assert not list(tmp_path.iterdir())


def test_files_of_values_are_files_and_stay(kept: Kept, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file, copy = tmp_path / "model.safetensors", tmp_path / "best.safetensors"
    save_file({"a": torch.arange(3)}, file)
    real = file.read_bytes()
    save_file({"a": torch.ones(5, device="cuda")}, file)
    assert file.read_bytes() == real, "a file that was there is never touched"
    assert load_file(file)["a"].shape == (5,), "what the script saved last"
    save_file({"a": torch.arange(4)}, file)
    assert load_file(file)["a"].tolist() == [0, 1, 2, 3]
    save_file({"a": torch.ones(6, device="cuda")}, tmp_path / "last.safetensors")
    shutil.copyfile(tmp_path / "last.safetensors", copy)
    assert load_file(copy)["a"].shape == (6,)
    kept.clean()
    assert not (tmp_path / "last.safetensors").exists()
    assert load_file(file)["a"].tolist() == [0, 1, 2, 3]


def test_a_language_model_with_its_adapter_is_saved_and_read_again(kept: Kept, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, OPTConfig, OPTForCausalLM

    shape = OPTConfig(
        vocab_size=64, hidden_size=32, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2, word_embed_proj_dim=32
    )
    model = OPTForCausalLM(shape).cuda()
    model.save_pretrained(tmp_path / "base")
    get_peft_model(model, LoraConfig(target_modules=["q_proj"])).save_pretrained(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base").cuda()
    found = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).cuda()
    assert found(input_ids=torch.ones(1, 4, dtype=torch.int64, device="cuda")).logits.shape == (1, 4, 64)
