"""Why there is no estimate: models of transformers that a teacher cannot be made of, each told in its own words."""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import pytest

from probes import estimate

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
MODELS: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 99, "state_size": 4},
    "gemma2": {**SMALL, "num_key_value_heads": 4, "head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 99},
    "bert": {**SMALL, "is_decoder": True},
}


def _main(argv: list[str]) -> None:
    sys.exit(estimate.main(argv))


@pytest.mark.parametrize(
    ("model", "overrides", "code", "said"),
    [
        ("mamba", [], 2, "llm.attn_implementation=sdpa: mamba has eager attention alone"),
        ("mamba", ["llm.attn_implementation=eager"], 3, "the step cannot be traced, the code itself fails in llm."),
        ("gemma2", ["llm.attn_implementation=eager"], 2, "gemma2 has final_logit_softcapping=30.0"),
        (
            "gpt2",
            [],
            2,
            "the blocks of a GPT2LMHeadModel cannot be told. Name some of its linear layers (it has lm_head)",
        ),
        ("bert", [], 2, "(it has decoder, dense, key, query, value)"),
    ],
)
def test_a_model_that_cannot_be_taught_is_named_with_what_to_type(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], model: str, overrides: list[str], code: int, said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model, **MODELS[model]}))
    given = [f"llm.path={tmp_path}", "data.max_seq_len=64", "data.source=synthetic", *overrides]
    # Forked: torch need not be imported again, and what it freezes for its collections is not ours.
    process = multiprocessing.get_context("fork").Process(
        target=_main, args=(["--gpu=h100", "--no-knobs", "--", *given],)
    )
    process.start()
    process.join(120)
    assert process.exitcode == code
    answer = json.loads(capfd.readouterr().out)
    assert said in answer["message"]
    assert answer["status"] == {2: "usage", 3: "refused"}[code]
