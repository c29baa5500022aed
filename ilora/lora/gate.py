"""Gates: from user vectors (B, U) to expert weights (B, N) that are positive and sum to one.

A gate keeps its parameters one level deep (`conv0_weight`, not `stages.0.conv.weight`): PEFT takes the adapter's name
out of a key only where it stands second to last (`lora_router.default.conv0_weight`), when saving and when loading.

User vectors of a trained recommender have a standard deviation of 3 to 5, which saturates a softmax behind a bare
linear layer; every gate but the release's own (conv with batch normalisation) normalises each vector first.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ilora.lora.config import MoeLoraConfig
from ilora.lora.errors import GateShapeError

# The release's router: a stem, then three stages of three residual blocks on the user vector as a one-channel signal.
_STEM_CHANNELS: Final = 16
_STAGE_CHANNELS: Final = (16, 32, 64)
_BLOCKS_PER_STAGE: Final = 3
_KERNEL_SIZE: Final = 3


class Gate(nn.Module):
    """What all gates share: checks, float32 and the softmax.

    Args:
        user_size: width U of the user vectors.
        num_experts: number N of weights.
    """

    def __init__(self, user_size: int, num_experts: int) -> None:
        super().__init__()
        self.user_size = user_size
        self.num_experts = num_experts

    def forward(self, users: Tensor) -> Tensor:
        """Weights of the experts, (B, N), at least float32, for user vectors (B, U).

        Raises:
            GateShapeError: `users` is not (B, U).
        """
        if users.ndim != 2 or users.shape[1] != self.user_size:
            raise GateShapeError(
                f"user vectors have shape {tuple(users.shape)}; this gate needs (batch, {self.user_size}). Set "
                "user_size in MoeLoraConfig to the width of the recommender's user vectors"
            )
        parameter = next(self.parameters())
        # Autocast would run the gate in half precision; it is tiny, and its softmax decides the mixture.
        with torch.autocast(device_type=users.device.type, enabled=False):
            logits = self.logits(users.to(parameter.dtype))
            return torch.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))

    def logits(self, users: Tensor) -> Tensor:
        """Unnormalised log-weights (B, N) in the parameters' type."""
        raise NotImplementedError

    def _add_linear(self, name: str, out_features: int, in_features: int, *, bias: bool) -> None:
        """Registers `<name>_weight` and `<name>_bias`, initialised as nn.Linear does."""
        self.register_parameter(f"{name}_weight", _uniform((out_features, in_features), in_features))
        if bias:
            self.register_parameter(f"{name}_bias", _uniform((out_features,), in_features))


class LinearGate(Gate):
    """One linear layer without bias on the normalised user vector."""

    out_weight: Tensor

    def __init__(self, user_size: int, num_experts: int) -> None:
        super().__init__(user_size, num_experts)
        self._add_linear("out", num_experts, user_size, bias=False)

    def logits(self, users: Tensor) -> Tensor:
        """See Gate."""
        return F.linear(_normalised(users), self.out_weight)


class MlpGate(Gate):
    """Linear, GELU, linear on the normalised user vector."""

    hidden_weight: Tensor
    hidden_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor

    def __init__(self, user_size: int, num_experts: int, hidden_size: int) -> None:
        super().__init__(user_size, num_experts)
        self._add_linear("hidden", hidden_size, user_size, bias=True)
        self._add_linear("out", num_experts, hidden_size, bias=True)

    def logits(self, users: Tensor) -> Tensor:
        """See Gate."""
        hidden = F.gelu(F.linear(_normalised(users), self.hidden_weight, self.hidden_bias))
        return F.linear(hidden, self.out_weight, self.out_bias)


class ConvGate(Gate):
    """The release's router: a residual network over the user vector as a signal of length U.

    The stem and each convolution (kernel 3, no bias) are followed by a normalisation; a block is two of them with a
    shortcut; the second and third stage halve the length and double the channels, and their shortcuts take every other
    position and pad the new channels with zeros on both sides. Mean over positions, then a linear layer. Any U works.

    Args:
        user_size: length U of the signal.
        num_experts: number N of weights.
        norm: "batch" (the release's; its running statistics are buffers), "layer" (over channels and positions of one
            user, independent of the batch) or "none". All but "batch" also normalise the input and the mean.
    """

    out_weight: Tensor
    out_bias: Tensor

    def __init__(self, user_size: int, num_experts: int, norm: str) -> None:
        super().__init__(user_size, num_experts)
        self.norm = norm
        self._add_convolution(0, 1, _STEM_CHANNELS)
        channels, index = _STEM_CHANNELS, 1
        for width in _STAGE_CHANNELS:
            for _ in range(_BLOCKS_PER_STAGE):
                self._add_convolution(index, channels, width)
                self._add_convolution(index + 1, width, width)
                channels, index = width, index + 2
        self._add_linear("out", num_experts, channels, bias=True)

    def logits(self, users: Tensor) -> Tensor:
        """See Gate."""
        signal = users if self.norm == "batch" else _normalised(users)
        signal = F.relu(self._convolution(0, signal.unsqueeze(1)))
        index = 1
        for stage, width in enumerate(_STAGE_CHANNELS):
            for block in range(_BLOCKS_PER_STAGE):
                stride = 2 if stage > 0 and block == 0 else 1
                hidden = F.relu(self._convolution(index, signal, stride))
                shortcut = _pad_channels(signal[:, :, ::stride], width)
                signal = F.relu(self._convolution(index + 1, hidden) + shortcut)
                index += 2
        pooled = signal.mean(dim=2)
        # Nine residual additions have grown the signal; only the release's own form hands it on as it is.
        return F.linear(pooled if self.norm == "batch" else _normalised(pooled), self.out_weight, self.out_bias)

    def _add_convolution(self, index: int, in_channels: int, channels: int) -> None:
        shape = (channels, in_channels, _KERNEL_SIZE)
        self.register_parameter(f"conv{index}_weight", _uniform(shape, in_channels * _KERNEL_SIZE))
        if self.norm == "none":
            return
        self.register_parameter(f"norm{index}_weight", nn.Parameter(torch.ones(channels)))
        self.register_parameter(f"norm{index}_bias", nn.Parameter(torch.zeros(channels)))
        if self.norm == "batch":
            self.register_buffer(f"norm{index}_running_mean", torch.zeros(channels))
            self.register_buffer(f"norm{index}_running_var", torch.ones(channels))

    def _convolution(self, index: int, signal: Tensor, stride: int = 1) -> Tensor:
        """Convolution `index` and its normalisation: (B, C, L) -> (B, C', ceil(L / stride))."""
        weight = self.get_parameter(f"conv{index}_weight")
        hidden = F.conv1d(signal, weight, stride=stride, padding=_KERNEL_SIZE // 2)
        if self.norm == "none":
            return hidden
        scale, shift = self.get_parameter(f"norm{index}_weight"), self.get_parameter(f"norm{index}_bias")
        if self.norm == "layer":
            return F.group_norm(hidden, 1, scale, shift)
        mean, var = self.get_buffer(f"norm{index}_running_mean"), self.get_buffer(f"norm{index}_running_var")
        return F.batch_norm(hidden, mean, var, scale, shift, training=self.training)


def build_gate(config: MoeLoraConfig) -> Gate:
    """The gate `config.gate` names, for a router or for one layer; freshly initialised."""
    kind = config.gate.removeprefix("per_layer_")
    if kind == "linear":
        return LinearGate(config.user_size, config.num_experts)
    if kind == "mlp":
        return MlpGate(config.user_size, config.num_experts, config.gate_hidden_size)
    assert kind == "conv", f"gate={config.gate} has no module"
    return ConvGate(config.user_size, config.num_experts, config.gate_norm)


def _uniform(shape: tuple[int, ...], fan_in: int) -> nn.Parameter:
    """A parameter drawn as nn.Linear and nn.Conv1d draw theirs: uniform within 1 / sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fan_in)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def _normalised(users: Tensor) -> Tensor:
    return F.layer_norm(users, users.shape[-1:])


def _pad_channels(signal: Tensor, channels: int) -> Tensor:
    """(B, C, L) -> (B, channels, L) with zeros on both sides of the channels."""
    side = (channels - signal.shape[1]) // 2
    return F.pad(signal, (0, 0, side, side)) if side else signal
