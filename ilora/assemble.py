"""From a configuration to the parts of a run: data, recommender, teacher. One place owns each device and type."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import torch

from ilora.checkpoint import Identity
from ilora.config import Config, ConfigError
from ilora.data.prompts import load_templates, tokenizer_texts
from ilora.data.records import SequenceData
from ilora.device import Placement
from ilora.llm import LoadedLlm, load_llm, resolve_target_modules
from ilora.lora import MoeLoraConfig
from ilora.model import ILoRATeacher
from ilora.ranks import Rank
from ilora.rec import EpochResult, Recommender, load_recommender, save_recommender, train_recommender
from ilora.runlog import RunLog

# How long ranks other than the first wait for it to train the recommender.
_RECOMMENDER_DEADLINE_S = 3600.0

# Settings a checkpoint must agree with: they shape the model, or decide which samples come next.
_IDENTITY_GROUPS = ("data", "llm", "lora", "model")
_IDENTITY_KEYS = ("train.batch_size", "train.gradient_accumulation_steps", "train.seed", "train.curriculum", "compat")
_NOT_IDENTITY = frozenset(
    {"data.cache_dir", "data.num_workers", "data.path", "llm.path", "llm.attn_implementation", "lora.dropout"}
)


def checkpoint_identity(config: Config, num_items: int) -> Identity:
    """The settings a checkpoint of this run must agree with, dotted key -> value."""
    values: dict[str, object] = {"num_items": num_items, "rec.arch": config.rec.arch}
    for group in _IDENTITY_GROUPS:
        values |= {f"{group}.{key}": value for key, value in dataclasses.asdict(getattr(config, group)).items()}
    for key in _IDENTITY_KEYS:
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        values[key] = value
    return {key: value for key, value in values.items() if key not in _NOT_IDENTITY}


def obtain_recommender(
    config: Config, data: SequenceData, run_dir: Path, placement: Placement, log: RunLog, rank: Rank
) -> Recommender:
    """The recommender of this run: the run's own if it has one (a resumed run), a given checkpoint, or a trained one.

    The first rank trains and saves; the others wait for the file. The copy in the run folder makes the run complete.
    """
    own = run_dir / "recommender.safetensors"
    if not own.exists() and rank.is_first:
        if config.rec.checkpoint is not None:
            with log.phase("load_rec"):
                recommender = load_recommender(config.rec.checkpoint)
        else:
            with log.phase("train_rec"):
                recommender = _train(config, data, placement, log)
        save_recommender(recommender, own)
        log.event("artefact", kind="recommender", path=own.name)
    elif not own.exists():
        _wait_for(own)
    recommender = load_recommender(own)
    _check_catalogue(recommender, data, config.rec.checkpoint or str(own))
    return recommender


def build_teacher(config: Config, recommender: Recommender, llm: LoadedLlm, placement: Placement) -> ILoRATeacher:
    """Assemble the teacher and place it.

    Args:
        config: the run's.
        recommender: trained.
        llm: already in its place and type; adapters are injected into it.
        placement: where everything else goes.
    """
    torch.manual_seed(config.train.seed)
    lora = MoeLoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        num_experts=config.lora.num_experts,
        lora_dropout=config.lora.dropout,
        target_modules=list(resolve_target_modules(llm.model, config.lora.target_modules)),
        gate=config.lora.gate,
        gate_norm=config.lora.gate_norm,
        gate_hidden_size=config.lora.gate_hidden_size,
        user_size=recommender.user_size,
    )
    teacher = ILoRATeacher(
        llm.model,
        recommender,
        lora,
        head=config.model.head,
        token_mean=config.compat == "reference",
        rec_train_mode=config.rec.train_mode,
    ).to(placement.device)
    if config.train.gradient_checkpointing:
        teacher.gradient_checkpointing_enable()
    return teacher


def obtain_llm(config: Config, data: SequenceData, placement: Placement) -> LoadedLlm:
    """Load the configured language model where it will stay, in the placement's type.

    Raises:
        ConfigError: the model has fewer positions than the longest sample needs.
    """
    templates = load_templates(config.data.prompt, config.data.prompt_file)
    llm = load_llm(
        config.llm,
        dtype=placement.dtype,
        device=placement.device,
        cache_dir=config.data.cache_dir,
        texts=tokenizer_texts(data.catalogue, templates),
    )
    _check_positions(config, getattr(llm.model.config, "max_position_embeddings", None))
    return llm


def _check_positions(config: Config, positions: int | None) -> None:
    generates = config.model.head == "lm" and config.eval.generation
    beyond = config.eval.max_new_tokens if generates else 0
    if positions is not None and config.data.max_seq_len + beyond > positions:
        raise ConfigError(
            "data.max_seq_len",
            config.data.max_seq_len,
            f"16..{positions - beyond}",
            f"The language model has {positions} positions" + (f", {beyond} of them for the answer" if beyond else ""),
        )


def _train(config: Config, data: SequenceData, placement: Placement, log: RunLog) -> Recommender:
    def report(result: EpochResult) -> None:
        log.event("rec_epoch", **dataclasses.asdict(result))

    def note(text: str) -> None:
        log.event("warning", text=text)

    return train_recommender(data, config.rec, device=placement.device, on_epoch=report, on_note=note)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _RECOMMENDER_DEADLINE_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the first rank wrote no {path} within {_RECOMMENDER_DEADLINE_S:.0f} s")
        time.sleep(0.2)


def _check_catalogue(recommender: Recommender, data: SequenceData, name: str) -> None:
    if recommender.num_items != data.catalogue.num_items:
        raise ConfigError(
            "rec.checkpoint",
            name,
            f"a recommender of this data's {data.catalogue.num_items} items",
            f"This one knows {recommender.num_items}",
        )
