"""What can be relaxed from outside, on code that we do not own, and structure that our configuration has no key for.

The names are the contract between the observer, which makes factors of them, and the probes, which carry them out
(`probes.interventions`). An intervention changes nothing of a script's text: it acts on calls of PyTorch, transformers
and PEFT that the script makes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ilora_diag.schema.bisect import FactorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """One row.

    Attributes:
        name: as in `apply.NAME`.
        kind: BINARY: applied (true) or not. ORDERED: the value is a number, the one in force halved again and again.
            UNORDERED: the value names what to act on.
        category: word of the vocabulary of causes.
        cost: of `ilora_diag.bisect.costs`.
        meaning: what it does, in one sentence.
        lowest: of an ordered one.
        prior: how often such a thing is the cause where it is found; 1 is ordinary, as for what every training does.
    """

    name: str
    kind: FactorKind
    category: str
    cost: str
    meaning: str
    lowest: int = 1
    prior: float = 1.0


BESIDE_ADAPTERS = "beside adapters"
"""In the value of a `freeze_base` that found a trained base under adapters: a defect there, a choice elsewhere."""

_DEFECT = 2.0
_B, _O, _U = FactorKind.BINARY, FactorKind.ORDERED, FactorKind.UNORDERED


# Outputs of every expert waste memory wherever they are written; only the way to be rid of them from outside is dear.
_PRIORS = {"plain_lora": 2 * _DEFECT}


def _row(name: str, kind: FactorKind, category: str, cost: str, meaning: str, lowest: int = 1) -> Intervention:
    prior = _PRIORS.get(name, _DEFECT if cost == "none" else 1.0)
    return Intervention(name=name, kind=kind, category=category, cost=cost, meaning=meaning, lowest=lowest, prior=prior)


INTERVENTIONS: dict[str, Intervention] = {
    row.name: row
    for row in (
        _row("release", _U, "retained_outputs", "none", "Empties what a named holder keeps, after every step."),
        _row("drop_copy", _U, "second_model_copy", "none", "Lets a named second copy of weights go before training."),
        _row("no_kv_cache", _B, "kv_cache_in_training", "none", "No cache of keys and values, unless one is given."),
        _row("no_hidden_states", _B, "hidden_states_output", "none", "Asks for no hidden states but the last."),
        _row("trim_padding", _B, "padding_to_max", "none", "Cuts what is padding in a DataLoader's whole batch."),
        _row("target_logits", _B, "full_logits", "none", "Logits, or at least losses, only where labels are."),
        _row("sdpa_attention", _B, "eager_attention", "none", "Fused attention; no weights of MultiheadAttention."),
        _row("nonreentrant_checkpointing", _B, "reentrant_checkpoint", "none", "Checkpoints with use_reentrant=False."),
        _row("no_grad_validation", _B, "retained_graph", "none", "No graph for trained models that are in eval mode."),
        _row("plain_lora", _B, "dense_expert_outputs", "less_capacity", "All experts as one low-rank update."),
        _row("freeze_base", _B, "optimizer_states", "less_capacity", "Trains adapters and heads alone, base frozen."),
        _row("plain_loader", _B, "oom_live_tensors", "little_slower", "No worker processes and no pinned memory."),
        _row("checkpointing", _B, "oom_live_tensors", "slower", "Recomputes activations of transformers' models."),
        _row("autocast_bf16", _B, "oom_live_tensors", "rounded_weights", "float32 models under bfloat16 autocast."),
        _row("stateless_optimizer", _B, "optimizer_states", "other_dynamics", "SGD for an optimizer with states."),
        _row("batch_size", _O, "batch_too_large", "fewer_samples_a_step", "Samples of a DataLoader's batch."),
        _row("seq_len", _O, "sequence_too_long", "shorter_history", "Tokens of a sample, the first ones kept.", 16),
    )
}
"""By name, in the order in which equally likely ones are tried."""

PARTS: dict[str, tuple[str, ...]] = {
    "components": ("both", "llm", "rec"),
    "load_order": ("llm_first", "rec_first"),
    "rec_weights": ("checkpoint", "random"),
}
"""`parts.NAME` -> values, the ordinary one first."""

NEW_CATEGORIES: dict[str, str] = {
    "retained_graph": "Results are kept with the graph that made them, step after step.",
    "retained_outputs": "Results of earlier steps are kept on the card.",
    "second_model_copy": "Weights are on the card twice, or were replaced and are still held.",
    "kv_cache_in_training": "Keys and values are cached for a generation that never comes.",
    "hidden_states_output": "The hidden states of every layer are asked for.",
    "dense_expert_outputs": "The output of every expert is written out before they are mixed.",
    "full_logits": "Logits over the vocabulary are computed where no label asks for them.",
    "padding_to_max": "Samples are padded to the longest that is allowed, not to the longest that is there.",
    "eager_attention": "Attention writes out the scores of every head.",
    "optimizer_states": "The optimizer keeps states of more parameters than are meant to train.",
    "placement_tensor": "One tensor cannot be placed on the card.",
    "batch_too_large": "The batch needs more than the card has.",
    "sequence_too_long": "The samples are longer than the card can take.",
}
"""Causes that only trials find, beside those of `ilora_diag.checks.categories`."""
