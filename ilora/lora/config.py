"""The configuration of MoE-LoRA: PEFT's record with the keys of the method, checked where it is built."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from peft import PeftConfig

from ilora.config.errors import ConfigError
from ilora.lora.registry import MOE_LORA

SHARED_GATES: Final = ("conv", "linear", "mlp")
PER_LAYER_GATES: Final = ("per_layer_linear", "per_layer_mlp")
EXTERNAL_GATE: Final = "external"
GATES: Final = (*SHARED_GATES, *PER_LAYER_GATES, EXTERNAL_GATE)
GATE_NORMS: Final = ("batch", "layer", "none")

# The words of the iLoRA release for the same things.
GATE_ALIASES: Final = {
    "share": "conv",
    "shared": "conv",
    "dense": "linear",
    "unshare": "per_layer_linear",
    "per_layer": "per_layer_linear",
}


@dataclass
class MoeLoraConfig(PeftConfig):  # type: ignore[misc]  # peft is untyped here
    """LoRA whose rank is split into experts, mixed per sample by a gate.

    With `rho = r / num_experts`, expert n owns rows `n*rho .. (n+1)*rho - 1` of `lora_A` and the same columns of
    `lora_B`, and a layer computes `base(x) + scaling * sum_n g[n] * B_n A_n dropout(x)`, where
    `scaling = lora_alpha / rho`. Equal gates `1 / num_experts` therefore give plain LoRA with `lora_alpha / r`.

    Args:
        r: total rank over all experts.
        lora_alpha: numerator of the scaling.
        num_experts: rank slices; divides `r`.
        lora_dropout: probability of dropping an input of `lora_A` while training.
        target_modules: names of the linear layers to adapt, a regular expression, or "all-linear" (every linear layer
            but the output head), which is also what None means.
        exclude_modules: names (or a regular expression) that are left out of `target_modules`.
        modules_to_save: modules of the base model that train in full and are saved with the adapter.
        gate: what turns a user vector into expert weights: "conv", "linear" and "mlp" are one router shared by all
            layers, "per_layer_linear" and "per_layer_mlp" give each layer its own, "external" leaves it to the caller.
            The release's words "share", "dense", "unshare" are understood.
        user_size: width of the user vectors.
        gate_norm: normalisation inside the conv gate. "batch" is the release's, and couples the samples of a batch
            while training; the other gates always normalise each user vector.
        gate_hidden_size: hidden width of the mlp gates.

    Raises:
        ConfigError: a value out of range; it is a ValueError that names key, value and what is allowed.
    """

    r: int = field(default=8, metadata={"help": "total rank over all experts"})
    lora_alpha: float = field(default=32.0, metadata={"help": "scaling is lora_alpha / (r / num_experts)"})
    num_experts: int = field(default=4, metadata={"help": "rank slices; divides r"})
    lora_dropout: float = field(default=0.0, metadata={"help": "dropout before lora_A"})
    target_modules: list[str] | set[str] | str | None = field(default=None, metadata={"help": "layers to adapt"})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "layers to leave out"})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "modules that train in full"})
    gate: str = field(default="conv", metadata={"help": "what turns a user vector into expert weights"})
    user_size: int = field(default=64, metadata={"help": "width of the user vectors"})
    gate_norm: str = field(default="layer", metadata={"help": "normalisation inside the conv gate"})
    gate_hidden_size: int = field(default=128, metadata={"help": "hidden width of the mlp gates"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = MOE_LORA
        for key in ("r", "num_experts", "user_size", "gate_hidden_size"):
            _check_count(key, getattr(self, key))
        if self.r % self.num_experts:
            divisors = ", ".join(str(n) for n in range(1, self.r + 1) if self.r % n == 0)
            raise ConfigError("num_experts", self.num_experts, f"a divisor of r={self.r}", f"Those are {divisors}")
        _check_range("lora_dropout", self.lora_dropout, low=0.0, below=1.0)
        _check_range("lora_alpha", self.lora_alpha, low=0.0, below=float("inf"))
        self.gate = _canonical_gate(self.gate)
        if self.gate_norm not in GATE_NORMS:
            raise ConfigError("gate_norm", self.gate_norm, ", ".join(GATE_NORMS))
        if self.target_modules is None:
            self.target_modules = "all-linear"

    @property
    def scaling(self) -> float:
        """Factor of the gated update: `lora_alpha / (r / num_experts)`."""
        return self.lora_alpha / (self.r // self.num_experts)

    @property
    def has_shared_router(self) -> bool:
        """Whether one router serves all layers."""
        return self.gate in SHARED_GATES

    @property
    def has_layer_gates(self) -> bool:
        """Whether each layer has a gate of its own."""
        return self.gate in PER_LAYER_GATES

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values; sets become sorted lists, so that a saved configuration is reproducible."""
        fields: dict[str, Any] = super().to_dict()
        return {key: sorted(value) if isinstance(value, set) else value for key, value in fields.items()}


def _canonical_gate(gate: object) -> str:
    name = gate.lower() if isinstance(gate, str) else ""
    name = GATE_ALIASES.get(name, name)
    if name not in GATES:
        aliases = ", ".join(f"{alias} for {target}" for alias, target in GATE_ALIASES.items())
        raise ConfigError("gate", gate, ", ".join(GATES), f"The release's words work too: {aliases}")
    return name


def _check_count(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(key, value, "an integer of at least 1")


def _check_range(key: str, value: object, *, low: float, below: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value < below:  # type: ignore[operator]  # a number by then
        raise ConfigError(key, value, f"a number of at least {low:g} and less than {below:g}")
