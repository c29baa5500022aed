"""The iLoRA teacher: a frozen language model that reads a frozen recommender, through adapters gated by the user.

Shapes: B samples, S tokens, H width of the language model's hidden states, E width of its input embeddings (they
differ in opt-350m), K placeholders and T target tokens of a batch, D recommender width, U user width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from peft import get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from ilora.data.batch import Batch
from ilora.llm.errors import LlmError
from ilora.lora import MoeLoraConfig, use_users
from ilora.projector import MlpProjector
from ilora.rec import Recommender

# Fields of a Hugging Face config that make logits something else than lm_head(hidden); we compute logits ourselves.
_LOGIT_TRANSFORMS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class ILoRATeacher(nn.Module):
    """Frozen LLM and recommender, trainable projector, gates, adapters and (head="items") item head.

    Args:
        llm: causal language model; its parameters are frozen here and adapters injected in place.
        recommender: trained recommender; frozen, and kept in eval mode unless `rec_train_mode`.
        lora: adapter configuration; `user_size` must be the recommender's.
        head: "lm" (loss on the answer's tokens) or "items" (cross-entropy over the catalogue from the last token).
        token_mean: average the loss over the micro-batch's tokens, as the release does. By default it is averaged over
            each sample's tokens and then over samples, so that accumulation and more ranks leave it unchanged.
        rec_train_mode: let the recommender's dropout run while the teacher trains, as the release does.

    Raises:
        ValueError: the language model scales or caps its logits, which target-only logits would miss.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        recommender: Recommender,
        lora: MoeLoraConfig,
        *,
        head: str = "lm",
        token_mean: bool = False,
        rec_train_mode: bool = False,
    ) -> None:
        super().__init__()
        _refuse_logit_transforms(llm)
        self.head = head
        self.token_mean = token_mean
        self.rec_train_mode = rec_train_mode
        frozen = {id(tensor) for module in (llm, recommender) for tensor in _tensors(module)}
        self.llm = get_peft_model(llm, lora)
        self.recommender = recommender.requires_grad_(False)
        embedding = llm.get_input_embeddings()
        self.projector = MlpProjector(recommender.hidden_size, embedding.weight.shape[1])
        self.item_head: nn.Linear | None = None
        if head == "items":
            width = llm.get_output_embeddings().weight.shape[1]
            self.item_head = nn.Linear(width, recommender.num_items, dtype=torch.float32)
        # What [PH] reads as in text-only prompts: one frozen random row of the scale of the embedding table, which
        # itself is never resized. The scale is a number: the table may be on a card already, the row is made here.
        scale = float(embedding.weight.detach().std())
        self.register_buffer("placeholder", torch.randn(embedding.weight.shape[1]) * scale)
        # Decided here, by identity: adapters rename the base model's parameters, and moving replaces buffers.
        self._trainable_names = tuple(
            name for name, tensor in self.state_dict(keep_vars=True).items() if id(tensor) not in frozen
        )
        self.train()

    @property
    def causal_lm(self) -> PreTrainedModel:
        """The language model with its adapters, without PEFT's wrapper."""
        return cast("PreTrainedModel", self.llm.get_base_model())

    @property
    def backbone(self) -> nn.Module:
        """The language model without its vocabulary head."""
        return cast("nn.Module", self.causal_lm.base_model)

    @property
    def device(self) -> torch.device:
        """Where the teacher lives, and where its batches must be."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> ILoRATeacher:
        """Switch to training; the frozen recommender stays in eval mode unless told otherwise."""
        super().train(mode)
        self.recommender.train(mode and self.rec_train_mode)
        return self

    def trainables(self) -> dict[str, Tensor]:
        """What a checkpoint holds: every parameter and buffer that is not the frozen models' own, by name."""
        state = self.state_dict()
        return {name: state[name] for name in self._trainable_names}

    def forward(self, batch: Batch) -> Tensor:
        """Return the batch's loss, a float32 scalar."""
        hidden = self.hidden_states(batch)
        if self.head == "items":
            return F.cross_entropy(self.item_logits(hidden, batch), batch.targets)
        logits = self.target_logits(hidden, batch)
        if self.token_mean:
            return F.cross_entropy(logits.float(), batch.label_ids)
        per_token = F.cross_entropy(logits.float(), batch.label_ids, reduction="none")
        weights = 1.0 / batch.label_counts[batch.label_rows]
        return (per_token * weights).sum() / batch.input_ids.shape[0]

    def hidden_states(self, batch: Batch) -> Tensor:
        """Run the backbone on the batch's prompts. Returns (B, S, H); no vocabulary logits are made."""
        with use_users(self.llm, self.users(batch)):
            output = self.backbone(
                inputs_embeds=self.embed(batch),
                attention_mask=batch.attention_mask,
                position_ids=positions(batch.attention_mask),
                use_cache=False,
            )
        return cast("Tensor", output.last_hidden_state)

    def target_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Vocabulary logits where a target token must be predicted, and nowhere else: (T, vocabulary)."""
        picked = hidden[batch.label_rows, batch.label_cols]
        return cast("Tensor", self.causal_lm.get_output_embeddings()(picked))

    def item_logits(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Scores over the catalogue from the last real token: (B, num_items), float32."""
        assert self.item_head is not None, "item_logits needs head='items'"
        return cast("Tensor", self.item_head(self.last_hidden(hidden, batch).float()))

    @staticmethod
    def last_hidden(hidden: Tensor, batch: Batch) -> Tensor:
        """Hidden state of each sample's last real token: (B, H). Never a pad's, whichever side is padded."""
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), batch.last_cols]

    @torch.no_grad()
    def users(self, batch: Batch) -> Tensor:
        """User vectors of the frozen recommender, (B, U): what the gates read."""
        return self.recommender.encode_users(batch.history, batch.history_lengths)

    def embed(self, batch: Batch) -> Tensor:
        """Input embeddings with the placeholders written in, out of place: (B, S, E)."""
        with torch.no_grad():
            embeds = cast("Tensor", self.causal_lm.get_input_embeddings()(batch.input_ids))
        if batch.hybrid:
            with torch.no_grad():
                items = self.recommender.encode_items(batch.placeholder_items)
            values = self.projector(items)
        else:
            values = cast("Tensor", self.placeholder).expand(batch.placeholder_rows.shape[0], -1)
        return embeds.index_put((batch.placeholder_rows, batch.placeholder_cols), values.to(embeds.dtype))

    def gradient_checkpointing_enable(self) -> None:
        """Recompute activations in backward, non-reentrantly; the adapters see to it that gates are recomputed too."""
        self.causal_lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def trainable_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters by what they are: adapters, gates, projector, item_head."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(_group_of(name), []).append(parameter)
        return groups


def positions(attention_mask: Tensor) -> Tensor:
    """Position of each token among the real ones, (B, S): the same for a sample whichever side is padded."""
    return (attention_mask.cumsum(dim=1) - 1).clamp(min=0)


def _group_of(name: str) -> str:
    head = name.partition(".")[0]
    if head != "llm":
        return head
    return "adapters" if "lora_A" in name or "lora_B" in name else "gates"


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _refuse_logit_transforms(llm: PreTrainedModel) -> None:
    config: Any = llm.config
    for name in _LOGIT_TRANSFORMS:
        if getattr(config, name, None) not in (None, 1, 1.0):
            raise LlmError(
                f"llm: {config.model_type} has {name}={getattr(config, name)}; allowed are models whose logits are "
                "lm_head(hidden), such as llama, qwen2, mistral, gemma and opt"
            )
