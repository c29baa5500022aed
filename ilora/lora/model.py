"""The tuner: injects gated layers into a model, owns router and gates, and keeps saving and loading complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import Tensor, nn

from ilora.lora import checkpointing
from ilora.lora.config import MoeLoraConfig
from ilora.lora.context import GateContext
from ilora.lora.errors import AdapterStateError, GateMissingError, UnsupportedLayerError
from ilora.lora.gate import Gate, build_gate
from ilora.lora.layer import Linear, move_unless_meta
from ilora.lora.registry import PREFIX

_ROUTER = "lora_router"


class MoeLoraModel(BaseTuner):  # type: ignore[misc]  # peft is untyped here
    """PEFT's tuner for MoE-LoRA; made by `get_peft_model(model, MoeLoraConfig(...))`.

    Attributes:
        gates: the gates in use, shared with every layer.
        lora_router: routers by adapter name; empty for per-layer and external gates.
    """

    prefix = PREFIX
    tuner_layer_cls = Linear
    gates: GateContext
    lora_router: nn.ModuleDict

    @property
    def router(self) -> Gate | None:
        """The active adapter's shared router, if it has one."""
        name = self._active_name()
        return cast("Gate", self.lora_router[name]) if name in self.lora_router else None

    def use_gates(self, gates: Tensor) -> AbstractContextManager[None]:
        """Put given expert weights (B, N), or (1, N) for any batch, in use."""
        return self.gates.use(gates)

    def use_users(self, users: Tensor) -> AbstractContextManager[None]:
        """Put gates computed from user vectors (B, U) in use: by the router now, or by each layer in its forward.

        Raises:
            GateMissingError: the adapter's gates are external.
            GateShapeError: the vectors do not have the adapter's width.
        """
        config = self.peft_config[self._active_name()]
        router = self.router
        if router is not None:
            parameter = next(router.parameters())
            return self.gates.use(router(users.to(parameter.device)))
        if not config.has_layer_gates:
            raise GateMissingError
        return self.gates.use(users=users)

    def layers(self) -> Iterator[Linear]:
        """The adapted layers."""
        return (module for module in self.model.modules() if isinstance(module, Linear))

    # What PEFT calls, in the order of an adapter's life.

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Adds an adapter: layers, then its router, then the gates for gradient checkpointing."""
        checkpointing.refuse_reentrant(model)
        if _ROUTER not in self._modules:
            self.gates = GateContext()
            self.lora_router = nn.ModuleDict()
        self._tied = _tied_parameters(model)
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        config = self.peft_config[adapter_name]
        if config.has_shared_router:
            self.lora_router[adapter_name] = build_gate(config)
            self._move_adapter_to_device_of_base_layer(adapter_name)
            self._set_router_grad(self.active_adapters, enabled=not config.inference_mode)
        checkpointing.install(model, self.gates)

    def _create_and_replace(
        self,
        peft_config: MoeLoraConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        **_: Any,
    ) -> None:
        if isinstance(target, Linear):
            target.update_layer(adapter_name, peft_config)
            return
        if isinstance(target, BaseTunerLayer):
            raise UnsupportedLayerError(f"{current_key} is adapted already, by {type(target).__module__}")
        shared = {other for p in target.parameters() for other in self._tied.get(id(p), ())} - {current_key}
        if shared:
            raise UnsupportedLayerError(
                f"{current_key} shares its weight with {', '.join(sorted(shared))}; adapting one would change "
                "what the other means. Leave it out of target_modules, or load the model with tie_word_embeddings=False"
            )
        layer = Linear(target, adapter_name, peft_config, self.gates)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def set_adapter(self, adapter_name: str | Sequence[str], inference_mode: bool = False) -> None:
        """Make one adapter active.

        Raises:
            ValueError: more than one name.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        if len(names) > 1:
            raise ValueError(f"adapters={names}: allowed is one active MoE-LoRA adapter, since gates belong to one")
        super().set_adapter(adapter_name, inference_mode=inference_mode)
        self._set_router_grad(names, enabled=not inference_mode)

    def set_requires_grad(self, adapter_names: str | Sequence[str], requires_grad: bool = True) -> None:
        """Make adapters trainable, or not, with their routers."""
        super().set_requires_grad(adapter_names, requires_grad=requires_grad)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            if name in self.lora_router:
                self.lora_router[name].requires_grad_(requires_grad)

    def delete_adapter(self, adapter_name: str) -> None:
        """Remove an adapter with its router."""
        super().delete_adapter(adapter_name)
        if adapter_name in self.lora_router:
            del self.lora_router[adapter_name]

    def unload(self) -> nn.Module:
        """Return the base model without adapters."""
        model: nn.Module = super().unload()
        checkpointing.uninstall(model)
        return model

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *args: Any) -> None:
        """Checks names before anything is loaded: PEFT passes strict=False, and would leave gates random in silence."""
        _check_names(set(state_dict), self._adapter_keys(prefix), {prefix + key for key in self.state_dict()}, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str) -> None:
        """PEFT's hook after loading into meta tensors; the router goes where the model is."""
        parameter = next(self.model.parameters(), None)
        if adapter_name in self.lora_router and parameter is not None:
            move_unless_meta(self.lora_router[adapter_name], parameter.device)

    def _set_router_grad(self, active: Sequence[str], *, enabled: bool) -> None:
        for name, router in self.lora_router.items():
            router.requires_grad_(enabled and name in active)

    def _active_name(self) -> str:
        return str(self.active_adapters[0])

    def _adapter_keys(self, prefix: str) -> dict[str, set[str]]:
        """Names of each adapter's tensors, as they stand in a state dict under `prefix`."""
        keys: dict[str, set[str]] = {name: set() for name in self.peft_config}
        containers = [(_ROUTER, self.lora_router)]
        for path, module in self.named_modules():
            if isinstance(module, Linear):
                containers += [(f"{path}.{name}", getattr(module, name)) for name in module.adapter_layer_names]
        for path, container in containers:
            for adapter, module in container.items():
                keys[adapter] |= {f"{prefix}{path}.{adapter}.{key}" for key in module.state_dict()}
        return keys


def use_users(model: nn.Module, users: Tensor) -> AbstractContextManager[None]:
    """Gates for the calls within, computed from user vectors (B, U) by the adapter's router or per-layer gates.

    `with use_users(peft_model, users): peft_model(...)`. The router runs here, once; gradients flow into it.
    """
    return _tuner(model).use_users(users)


def use_gates(model: nn.Module, gates: Tensor) -> AbstractContextManager[None]:
    """Gates for the calls within, given as expert weights (B, N), or (1, N) for any batch."""
    return _tuner(model).use_gates(gates)


def gate_context(model: nn.Module) -> GateContext:
    """The GateContext of a PEFT model, for checkpointing of one's own (`context_fn`)."""
    return _tuner(model).gates


def merge_with_gates(model: nn.Module, gates: Tensor, *, safe_merge: bool = False) -> None:
    """Write the update for one fixed mixture (N,) into the base weights.

    `model.unmerge_adapter()` takes it out again; `model.unload()` gives the base model with it, without adapters.
    PEFT's own merge methods cannot say which gates, and are refused by the layers.

    Raises:
        GateShapeError: not one weight per expert.
        UnsupportedLayerError: a base weight is quantised.
    """
    for layer in _tuner(model).layers():
        layer.merge(safe_merge=safe_merge, gates=gates)


def _tuner(model: nn.Module) -> MoeLoraModel:
    tuner = model.base_model if isinstance(model, PeftModel) else model
    if not isinstance(tuner, MoeLoraModel):
        name = type(model).__name__
        raise TypeError(f"{name} has no MoE-LoRA adapter; make one with get_peft_model(model, MoeLoraConfig(...))")
    return tuner


def _check_names(given: set[str], adapters: Mapping[str, set[str]], known: set[str], prefix: str) -> None:
    """Compares the names in a state dict with the model's.

    A state dict without any tensor of an adapter is no adapter file, and none of our business; but where it comes from
    a PeftModel (whose child we are) and holds nothing at all for us, it is a file with foreign names.
    """
    surplus = given - known
    missing = {key for keys in adapters.values() if keys & given for key in keys - given}
    is_foreign = not given and prefix == "base_model."
    if surplus or missing or is_foreign:
        raise AdapterStateError(missing, surplus)


def _tied_parameters(model: nn.Module) -> dict[int, set[str]]:
    """Modules by the identity of each parameter that more than one of them holds."""
    holders: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        holders.setdefault(id(parameter), set()).add(name.rpartition(".")[0])
    return {key: names for key, names in holders.items() if len(names) > 1}
