"""A tiny language model in the forms it can come in: configuration, folder, .gguf file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ilora.config import LlmConfig
from ilora.config.load import load_config
from ilora.llm import LoadedLlm, load_llm


@pytest.fixture
def tiny() -> LlmConfig:
    return load_config(["llm=tiny"]).llm


@pytest.fixture(scope="session")
def tiny_llm() -> LoadedLlm:
    return load_llm(load_config(["llm=tiny"]).llm, dtype=torch.float32, texts=[" some titles", " more titles"])


@pytest.fixture
def tiny_folder(tmp_path: Path, tiny_llm: LoadedLlm) -> Path:
    folder = tmp_path / "tiny"
    tiny_llm.model.save_pretrained(folder)
    tiny_llm.tokenizer.save(folder)
    return folder


@pytest.fixture(scope="session")
def write_gguf() -> Callable[[Path], dict[str, np.ndarray[Any, Any]]]:
    """Writes a one-layer Llama with a byte-level tokenizer as .gguf, as converters do, and returns its tensors."""
    gguf = pytest.importorskip("gguf", reason="the package that writes and reads .gguf files is not installed")

    def write(path: Path) -> dict[str, np.ndarray[Any, Any]]:
        from tokenizers import pre_tokenizers

        tokens = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
        width, inner, rng = 32, 64, np.random.default_rng(0)
        shapes = {
            "token_embd.weight": (len(tokens), width),
            "output_norm.weight": (width,),
            "output.weight": (len(tokens), width),
            "blk.0.attn_norm.weight": (width,),
            "blk.0.ffn_norm.weight": (width,),
            **{f"blk.0.attn_{part}.weight": (width, width) for part in ("q", "k", "v", "output")},
            "blk.0.ffn_gate.weight": (inner, width),
            "blk.0.ffn_up.weight": (inner, width),
            "blk.0.ffn_down.weight": (width, inner),
        }
        tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        writer = gguf.GGUFWriter(str(path), "llama")
        writer.add_context_length(64)
        writer.add_embedding_length(width)
        writer.add_block_count(1)
        writer.add_feed_forward_length(inner)
        writer.add_head_count(4)
        writer.add_head_count_kv(4)
        writer.add_rope_dimension_count(width // 4)
        writer.add_rope_freq_base(10_000.0)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(len(tokens))
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(tokens)
        writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(0)
        writer.add_eos_token_id(1)
        for name, tensor in tensors.items():
            writer.add_tensor(name, tensor)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tensors

    return write
