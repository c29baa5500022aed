"""What can go wrong with gated adapters, each with the reason and what to do instead."""

from __future__ import annotations

from collections.abc import Iterable


class GateMissingError(ValueError):
    """A gated layer ran without gates."""

    def __init__(self) -> None:
        super().__init__(
            "no gates are in use on this thread: the experts of MoE-LoRA are mixed by gates that belong to one call. "
            "Wrap the call in `with use_users(model, users):` (router or per-layer gates) or `with use_gates(model, "
            "gates):` (your own), or switch the adapter off with `with model.disable_adapter():`"
        )


class GateShapeError(ValueError):
    """Gates or user vectors whose shape does not fit what they meet."""


class RecomputeError(ValueError):
    """A layer was recomputed inside backward without the gates its forward had."""

    def __init__(self) -> None:
        super().__init__(
            "a gated layer is being recomputed inside backward without the gates its forward used: the layer was "
            "checkpointed with use_reentrant=True, or by a call of torch.utils.checkpoint that knows no gates. Those "
            "in use now may belong to another batch, and gradients would be wrong without a message. Enable "
            'checkpointing with `model.gradient_checkpointing_enable({"use_reentrant": False})`, or pass '
            "`use_reentrant=False, context_fn=gate_context(model).checkpoint_contexts` to torch.utils.checkpoint"
        )


class ReentrantCheckpointError(ValueError):
    """Reentrant gradient checkpointing was asked for."""

    def __init__(self) -> None:
        super().__init__(
            "use_reentrant=True does not work with MoE-LoRA: the gates reach every layer beside its inputs, and the "
            "reentrant form runs a backward inside backward that walks through the gates into the router and frees its "
            'graph; the next layer then fails with "Trying to backward through the graph a second time". Use '
            'use_reentrant=False: `model.gradient_checkpointing_enable({"use_reentrant": False})`'
        )


class MergeNeedsGatesError(ValueError):
    """A merge was asked for without saying for which gates."""

    def __init__(self) -> None:
        super().__init__(
            "MoE-LoRA cannot be merged into one weight for everybody: its update depends on the gates of each user. "
            "Say which gates to freeze: `merge_with_gates(model, gates)` with one weight per expert"
        )


class UnsupportedLayerError(ValueError):
    """A target module that MoE-LoRA does not adapt."""


class AdapterStateError(ValueError):
    """Saved adapter weights that do not fit the adapter.

    Attributes:
        missing: parameters and buffers of the adapter that the file lacks.
        surplus: names in the file that the model lacks.
    """

    def __init__(self, missing: Iterable[str], surplus: Iterable[str]) -> None:
        self.missing, self.surplus = tuple(sorted(missing)), tuple(sorted(surplus))
        parts = [f"{label}: {_shorten(names)}" for label, names in self._groups() if names]
        super().__init__(
            "the saved weights do not fit this adapter (" + "; ".join(parts or ["no adapter weight in it"]) + "). "
            "Build the model with the configuration saved beside them, and save with `save_pretrained`"
        )

    def _groups(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return ("missing", self.missing), ("surplus", self.surplus)


def _shorten(names: tuple[str, ...], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
