"""The parts of the configured teacher that a trial is made of: both models, the language model alone, or the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilora.assemble import build_teacher
from ilora.config import Config
from ilora.data.batch import Batch
from ilora.device import Placement
from ilora.llm import resolve_target_modules
from ilora.llm.load import LoadedLlm
from ilora.model import ILoRATeacher, positions
from ilora.rec import Recommender, load_recommender
from ilora.rec.build import build_recommender
from ilora_diag.bisect.catalogue import PARTS
from ilora_diag.schema.known import Value
from ilora_diag.schema.trial_request import Stage
from probes.estimate_model import Architecture, architecture, catalogue_size, check_positions, make_llm
from probes.run_station import Station
from probes.trial_built import Built
from probes.trial_clock import StageClock
from probes.trial_device import Site
from probes.trial_end import RefusedError


def chosen_parts(asked: dict[str, Value]) -> dict[str, str]:
    """`parts.NAME` -> value, the ordinary one where none was asked for.

    Raises:
        RefusedError: no such part or value.
    """
    for name, value in asked.items():
        if name not in PARTS:
            raise RefusedError(f"parts.{name}: allowed is {', '.join(PARTS)}")
        if value not in PARTS[name]:
            raise RefusedError(f"parts.{name}={value}: allowed is {', '.join(PARTS[name])}")
    return {name: str(asked.get(name, values[0])) for name, values in PARTS.items()}


class LanguageModelAlone(nn.Module):
    """The language model with plain LoRA: no recommender, no gates, no projector; the same head and loss."""

    def __init__(self, config: Config, llm: LoadedLlm, num_items: int) -> None:
        from peft import LoraConfig, get_peft_model

        super().__init__()
        lora = config.lora
        plain = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha * lora.num_experts,  # the scaling of the teacher's adapters
            lora_dropout=lora.dropout,
            target_modules=list(resolve_target_modules(llm.model, lora.target_modules)),
        )
        self.llm = get_peft_model(llm.model, plain)
        self.item_head: nn.Linear | None = None
        if config.model.head == "items":
            width = llm.model.get_output_embeddings().weight.shape[1]
            self.item_head = nn.Linear(width, num_items, dtype=torch.float32)
        self._token_mean = config.compat == "reference"

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch, as `ILoRATeacher.forward` has it, of its text alone."""
        causal_lm: Any = self.llm.get_base_model()
        with torch.no_grad():
            embeds = causal_lm.get_input_embeddings()(batch.input_ids)
        mask = batch.attention_mask
        output = causal_lm.base_model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask), use_cache=False
        )
        hidden: Tensor = output.last_hidden_state
        if self.item_head is not None:
            last = hidden[torch.arange(hidden.shape[0], device=hidden.device), batch.last_cols]
            return F.cross_entropy(self.item_head(last.float()), batch.targets)
        logits = causal_lm.get_output_embeddings()(hidden[batch.label_rows, batch.label_cols])
        if self._token_mean:
            return F.cross_entropy(logits.float(), batch.label_ids)
        per_token = F.cross_entropy(logits.float(), batch.label_ids, reduction="none")
        weights = 1.0 / batch.label_counts[batch.label_rows]
        return (per_token * weights).sum() / batch.input_ids.shape[0]

    def gradient_checkpointing_enable(self) -> None:
        """As the teacher's."""
        base: Any = self.llm.get_base_model()
        base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


class RecommenderAlone(nn.Module):
    """The recommender, trained as `ilora.rec.train` does, on the histories of the teacher's batches."""

    def __init__(self, recommender: Recommender) -> None:
        super().__init__()
        self.recommender: Recommender = recommender.requires_grad_(True)

    def forward(self, batch: Batch) -> Tensor:
        """Cross-entropy over the catalogue."""
        return F.cross_entropy(self.recommender(batch.history, batch.history_lengths), batch.targets)


def trainable_groups(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """What the optimizer is made over, in the trainer's groups."""
    if isinstance(model, ILoRATeacher):
        return model.trainable_groups()
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault("adapters" if "lora_" in name else name.partition(".")[0], []).append(parameter)
    return groups


class Builder:
    """Loads on the host, then places in the order asked for, telling the clock."""

    def __init__(self, config: Config, built: Built, place: Site, placement: Placement, clock: StageClock) -> None:
        self._config, self._built, self._site, self._placement, self._clock = config, built, place, placement, clock

    def load(self) -> None:
        """On the host: the architecture, the catalogue, the recommender."""
        config, built = self._config, self._built
        self._shape: Architecture | None = None
        self._recommender: Recommender | None = None
        if built.parts["components"] != "rec":
            self._shape = architecture(config)
        size = catalogue_size(config)
        built.num_items = size.num_items
        if size.assumption:
            built.notes.append(size.assumption)
        if built.parts["components"] != "llm":
            self._recommender = self._load_recommender()
            built.num_items = self._recommender.num_items

    def place(self) -> None:
        """On the device, each model in its stage; what the second one needs is built with it."""
        clock, built = self._clock, self._built
        rec_first = built.parts["load_order"] == "rec_first"
        steps = [(Stage.PLACE_LLM, self._shape, self._place_llm), (Stage.PLACE_REC, self._recommender, self._place_rec)]
        for stage, is_there, run in reversed(steps) if rec_first else steps:
            if is_there is not None:
                clock.enter(stage)
                run()
        built.model = self._assemble()

    def _place_llm(self) -> None:
        config, built, shape, device = self._config, self._built, self._shape, self._placement.device
        assert shape is not None
        if not shape.from_files:
            with _parameters_told(self._site):
                built.llm = make_llm(config, shape, self._placement)
            built.named.append((built.llm.model, "llm"))
            check_positions(config, built.llm.model)
            return
        # Weights from files are read on the host and moved at once. Here they are random, and go the same way; on a
        # virtual card there are none to read.
        host = torch.device("meta" if self._site.is_virtual else "cpu")
        shape = shape if self._site.is_virtual else replace(shape, from_files=False)
        built.llm = llm = make_llm(config, shape, replace(self._placement, device=host))
        built.named.append((llm.model, "llm"))
        check_positions(config, llm.model)
        if self._site.is_virtual:
            llm.model.to_empty(device=device)
        else:
            llm.model.to(device)

    def _place_rec(self) -> None:
        recommender = self._recommender
        assert recommender is not None
        self._built.named.append((recommender, "recommender"))
        if self._built.llm is None:  # alone, or first; with the language model there, it moves with the teacher
            recommender.to(self._placement.device)

    def _assemble(self) -> nn.Module:
        config, built, placement = self._config, self._built, self._placement
        recommender, llm = self._recommender, built.llm
        if llm is None:
            assert recommender is not None
            torch.manual_seed(config.train.seed)
            return RecommenderAlone(recommender)
        if recommender is not None:
            return build_teacher(config, recommender, llm, placement)
        torch.manual_seed(config.train.seed)
        model = LanguageModelAlone(config, llm, built.num_items).to(placement.device)
        if config.train.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        return model

    def _load_recommender(self) -> Recommender:
        """From its checkpoint where there is one; the trainer would train one first where there is none."""
        config, parts = self._config, self._built.parts
        if config.rec.checkpoint is None:
            if parts["rec_weights"] == "checkpoint":
                parts["rec_weights"] = "random"
                self._built.notes.append("rec.checkpoint names no file: the recommender has random weights")
            return build_recommender(config.rec, self._built.num_items, config.data.max_history).eval()
        recommender = load_recommender(config.rec.checkpoint)
        if parts["rec_weights"] == "random":
            _randomise(recommender)
        return recommender


@torch.no_grad()
def _randomise(model: nn.Module) -> None:
    """New tensors of the same shapes and types, laid out plainly: nothing of the file's storages stays."""
    for tensor in (*model.parameters(), *model.buffers()):
        made = torch.empty(tensor.shape, dtype=tensor.dtype)
        tensor.data = made.normal_(0.0, 0.02) if tensor.dtype.is_floating_point else made.copy_(tensor)


class _parameters_told:  # noqa: N801 - a context manager
    """Inside the block every parameter that a module takes is told to the ledger as one.

    A language model is made on the card piece by piece; where memory runs out on the way there is no model to ask.
    """

    def __init__(self, place: Site) -> None:
        self._site = place

    def __enter__(self) -> None:
        from torch.nn.modules.module import register_module_parameter_registration_hook

        self._handle = register_module_parameter_registration_hook(self._registered)

    def __exit__(self, *error: object) -> None:
        self._handle.remove()

    def _registered(self, module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        from ilora_diag.schema import Category

        machine = self._site.machine
        if machine is None or parameter is None:
            return
        entry = machine.alive.get(parameter.untyped_storage()._cdata)
        if entry is not None:
            machine.ledger.fixed.setdefault(entry.number, Category.PARAMETER)
            machine.ledger.modules[entry.number] = f"llm ({type(module).__name__})"


def name_parts(station: Station, built: Built) -> None:
    """Give the modules and tensors of everything that is there their names."""
    watch = station.watch
    if built.model is not None:
        watch.name_root(built.model)
        return
    for model, name in built.named:
        watch.name_root(model, name)
