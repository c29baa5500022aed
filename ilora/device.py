"""Which device and which precision a run gets, decided once."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ilora.config import ConfigError, TrainConfig

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the model lives and in which type the frozen language model computes."""

    device: torch.device
    precision: str

    @property
    def dtype(self) -> torch.dtype:
        """The language model's type; adapters, gates, projector and heads keep float32 masters."""
        return _DTYPES[self.precision]


def place(config: TrainConfig, device: str) -> Placement:
    """Resolve `auto`: the CUDA device if there is one, bf16 where the device has it in hardware, else fp32.

    Args:
        config: for `precision`.
        device: auto, cuda or cpu.

    Raises:
        ConfigError: CUDA asked for and not available.
    """
    if device not in ("auto", "cuda", "cpu"):
        raise ConfigError("--device", device, "auto, cuda or cpu")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        built = f"torch {torch.__version__}, CUDA build {torch.version.cuda}"
        raise ConfigError("--device", "cuda", "auto or cpu on this machine", f"torch sees no CUDA device ({built})")
    kind = "cuda" if device == "cuda" or (device == "auto" and available) else "cpu"
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return Placement(device=torch.device(kind), precision=precision)
