"""The adapted linear layer: the base layer, plus experts as slices of one rank."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from ilora.lora.config import MoeLoraConfig
from ilora.lora.context import GateContext
from ilora.lora.errors import GateShapeError, MergeNeedsGatesError, UnsupportedLayerError
from ilora.lora.function import gated_update
from ilora.lora.gate import build_gate

# What nn.Linear's output is made by; these nodes save their inputs, so their result may be written to.
_FRESH_OUTPUT_NODES = frozenset({"AddmmBackward0", "MmBackward0"})


class Linear(nn.Module, BaseTunerLayer):  # type: ignore[misc]  # peft is untyped here
    """`base(x) + scaling * sum_n g[n] * B_n A_n dropout(x)` with g from the gates in use.

    The base layer is called, never looked into (but for merging), so any module with `in_features` and `out_features`
    will do, quantised ones included. Its weight is neither copied nor changed. Exceptions pass through.

    Args:
        base_layer: what to adapt.
        adapter_name: name of the first adapter.
        config: its configuration.
        gates: where the gates of the current call are found.

    Raises:
        UnsupportedLayerError: the base layer is no linear layer.
    """

    # PEFT's, which has no types.
    active_adapters: list[str]
    get_base_layer: Callable[[], nn.Module]
    set_adapter: Callable[..., None]

    adapter_layer_names = ("lora_A", "lora_B", "lora_gate")
    other_param_names = ("scaling", "num_experts", "lora_dropout")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: MoeLoraConfig, gates: GateContext) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = _linear_shape(base_layer)
        self.gates = gates
        self.lora_A = nn.ModuleDict()
        self.lora_B = nn.ModuleDict()
        self.lora_gate = nn.ModuleDict()
        self.lora_dropout = nn.ModuleDict()
        self.scaling: dict[str, float] = {}
        self.num_experts: dict[str, int] = {}
        self._merged_gates: dict[str, Tensor] = {}
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: MoeLoraConfig) -> None:
        """Adds an adapter: `lora_A` random, `lora_B` zero, both float32 whatever the base layer's type."""
        lora_a = nn.Linear(self.in_features, config.r, bias=False, dtype=torch.float32)
        lora_b = nn.Linear(config.r, self.out_features, bias=False, dtype=torch.float32)
        nn.init.kaiming_uniform_(lora_a.weight, a=math.sqrt(5))
        nn.init.zeros_(lora_b.weight)
        self.lora_A[adapter_name], self.lora_B[adapter_name] = lora_a, lora_b
        self.lora_dropout[adapter_name] = nn.Dropout(config.lora_dropout)
        if config.has_layer_gates:
            self.lora_gate[adapter_name] = build_gate(config)
        self.scaling[adapter_name], self.num_experts[adapter_name] = config.scaling, config.num_experts
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Apply base layer and update.

        Args:
            x: (B, ..., in). Two-dimensional input may also be (B * S, in) with the rows of a sample next to each other,
                as OPT's feed-forward layers get it.
            args: passed on to the base layer.
            kwargs: passed on to the base layer.

        Raises:
            GateMissingError: no gates are in use.
            GateShapeError: the gates do not fit `x` or the number of experts.
        """
        adapter = self._live_adapter()
        if adapter is None:
            output: Tensor = self.base_layer(x, *args, **kwargs)
            return output
        gates = self._expert_weights(adapter, x)
        lora_a, lora_b = self._weights(adapter)
        dropout = cast("nn.Dropout", self.lora_dropout[adapter])
        output = gated_update(
            self._fresh_base_output(x, *args, **kwargs),
            x.reshape(-1, self.in_features),
            lora_a,
            lora_b,
            gates,
            scaling=self.scaling[adapter],
            dropout=dropout.p if dropout.training else 0.0,
        )
        return output.view(*x.shape[:-1], self.out_features)

    def merge(
        self, safe_merge: bool = False, adapter_names: list[str] | None = None, gates: Tensor | None = None
    ) -> None:
        """Write the update for fixed gates into the base weight: `W + scaling * B diag(repeat(g)) A`.

        Args:
            safe_merge: refuse a result with values that are not finite.
            adapter_names: the adapter to merge; default: the active one.
            gates: one weight per expert, (N,) or (1, N).

        Raises:
            MergeNeedsGatesError: without `gates`.
            GateShapeError: not one weight per expert.
            UnsupportedLayerError: the base weight is no plain floating-point matrix.
        """
        if gates is None:
            raise MergeNeedsGatesError
        for adapter in adapter_names if adapter_names is not None else self.active_adapters:
            if adapter not in self.lora_A or adapter in self.merged_adapters:
                continue
            fixed = _single_gates(gates, self.num_experts[adapter])
            weight = self._mergeable_weight()
            merged = weight + self._update(adapter, fixed).to(weight)
            if safe_merge and not torch.isfinite(merged).all():
                raise ValueError(f"merging adapter {adapter} gives values that are not finite; the weight is unchanged")
            weight.copy_(merged)
            self._merged_gates[adapter] = fixed
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Take merged updates out of the base weight again, exactly up to rounding."""
        while self.merged_adapters:
            adapter = self.merged_adapters.pop()
            weight = self._mergeable_weight()
            weight.sub_(self._update(adapter, self._merged_gates.pop(adapter)).to(weight))

    def _live_adapter(self) -> str | None:
        """The adapter this call goes through; None where the base layer alone answers."""
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return None
        if self.merged:
            return None
        return next((name for name in self.active_adapters if name in self.lora_A), None)

    def _weights(self, adapter: str) -> tuple[Tensor, Tensor]:
        """`lora_A` (r, in) and `lora_B` (out, r)."""
        lora_a, lora_b = cast("nn.Linear", self.lora_A[adapter]), cast("nn.Linear", self.lora_B[adapter])
        return lora_a.weight, lora_b.weight

    def _expert_weights(self, adapter: str, x: Tensor) -> Tensor:
        frame = self.gates.current()
        gates = frame.gates
        if gates is None:
            assert frame.users is not None, "a frame holds gates or users"
            if adapter not in self.lora_gate:
                raise GateShapeError("user vectors are in use, but this adapter's layers have no gates; give gates")
            gates = self.lora_gate[adapter](frame.users.to(x.device))
        _check_gates(gates, x, self.num_experts[adapter])
        return gates.to(x.device)

    def _fresh_base_output(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The base layer's output as a matrix (M, out) that may be written to; a copy unless known to be fresh."""
        if type(self.base_layer) is not nn.Linear or self.base_layer._forward_hooks:
            output: Tensor = self.base_layer(x, *args, **kwargs)
            return output.reshape(-1, self.out_features).clone()
        # Rows rather than samples: nn.Linear with a bias returns a view for three dimensions, and autograd copies the
        # whole gradient where a view is written to.
        output = self.base_layer(x.reshape(-1, self.in_features), *args, **kwargs)
        if torch.compiler.is_compiling() or output.grad_fn is None:
            return output
        return output if output.grad_fn.name() in _FRESH_OUTPUT_NODES else output.clone()

    @torch.no_grad()
    def _update(self, adapter: str, gates: Tensor) -> Tensor:
        """Change of the weight for fixed gates (N,): (out, in), float32."""
        lora_a, lora_b = self._weights(adapter)
        factors = gates.to(lora_b).repeat_interleave(lora_a.shape[0] // gates.shape[0]) * self.scaling[adapter]
        return (lora_b * factors) @ lora_a

    def _mergeable_weight(self) -> Tensor:
        base = self.get_base_layer()
        weight = getattr(base, "weight", None)
        expected = (self.out_features, self.in_features)
        if not isinstance(weight, Tensor) or not weight.is_floating_point() or tuple(weight.shape) != expected:
            raise UnsupportedLayerError(
                f"cannot merge into {type(base).__name__}: its weight is no floating-point matrix of shape {expected}. "
                "Load the base model unquantised to merge"
            )
        return weight.detach()

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """PEFT's hook. Ours moves between devices only: weights that train stay float32 over a half-precision base."""
        parameter = next(self.get_base_layer().parameters(), None)
        target = device if device is not None or parameter is None else parameter.device
        for container in (self.lora_A, self.lora_B, self.lora_gate):
            if target is not None and adapter_name in container:
                move_unless_meta(container[adapter_name], target)


def move_unless_meta(module: nn.Module, device: torch.device) -> None:
    """Moves a module to a device, unless either has no storage yet (PEFT's low_cpu_mem_usage)."""
    if device.type != "meta" and not any(parameter.is_meta for parameter in module.parameters()):
        module.to(device)


def _linear_shape(base: nn.Module) -> tuple[int, int]:
    sizes = (getattr(base, "in_features", None), getattr(base, "out_features", None))
    if not all(isinstance(size, int) for size in sizes):
        raise UnsupportedLayerError(
            f"{type(base).__name__} is no linear layer (it lacks in_features and out_features); MoE-LoRA adapts "
            'nn.Linear and modules with its interface. Name linear layers in target_modules, or use "all-linear"'
        )
    return sizes[0], sizes[1]  # type: ignore[return-value]


def _check_gates(gates: Tensor, x: Tensor, num_experts: int) -> None:
    num_samples = x.shape[0] if x.ndim > 2 else math.gcd(gates.shape[0], x.shape[0])
    if gates.shape[1] != num_experts:
        raise GateShapeError(f"gates have shape {tuple(gates.shape)}; needed is (batch, {num_experts}), one per expert")
    if gates.shape[0] not in (1, num_samples):
        raise GateShapeError(
            f"gates for {gates.shape[0]} samples meet an input of shape {tuple(x.shape)}. Give one row per sequence in "
            "the batch; where generation repeats sequences (num_beams, num_return_sequences), repeat the rows alike: "
            "gates.repeat_interleave(n, dim=0)"
        )


def _single_gates(gates: Tensor, num_experts: int) -> Tensor:
    flat = gates.detach().squeeze(0) if gates.ndim == 2 else gates.detach()
    if flat.ndim != 1 or flat.shape[0] != num_experts:
        raise GateShapeError(f"gates to merge have shape {tuple(gates.shape)}; needed is ({num_experts},)")
    return flat.clone()
