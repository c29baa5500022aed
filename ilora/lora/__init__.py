"""MoE-LoRA as a PEFT tuner: LoRA whose rank is split into experts, mixed per sample by a gate on the user.

    model = get_peft_model(llm, MoeLoraConfig(r=8, num_experts=4, gate="conv", user_size=64))
    with use_users(model, user_vectors):
        loss = model(**batch).loss

Importing this package registers the method with PEFT, so that `PeftModel.from_pretrained` finds it.
"""

from __future__ import annotations

from ilora.lora.config import MoeLoraConfig
from ilora.lora.context import GateContext
from ilora.lora.errors import (
    AdapterStateError,
    GateMissingError,
    GateShapeError,
    MergeNeedsGatesError,
    RecomputeError,
    ReentrantCheckpointError,
    UnsupportedLayerError,
)
from ilora.lora.layer import Linear
from ilora.lora.model import MoeLoraModel, gate_context, merge_with_gates, use_gates, use_users
from ilora.lora.registry import register

register(MoeLoraConfig, MoeLoraModel)

__all__ = [
    "AdapterStateError",
    "GateContext",
    "GateMissingError",
    "GateShapeError",
    "Linear",
    "MergeNeedsGatesError",
    "MoeLoraConfig",
    "MoeLoraModel",
    "RecomputeError",
    "ReentrantCheckpointError",
    "UnsupportedLayerError",
    "gate_context",
    "merge_with_gates",
    "use_gates",
    "use_users",
]
