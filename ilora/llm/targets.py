"""Which linear layers get adapters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ilora.llm.errors import LlmError

AUTO = ("auto",)


def resolve_target_modules(model: nn.Module, requested: Sequence[str]) -> tuple[str, ...]:
    """The layer names PEFT is given: `requested`, or every projection of the decoder's blocks for ["auto"].

    Projections outside the blocks (the vocabulary head, opt-350m's embedding projections) are not among "auto".

    Args:
        model: a causal language model of transformers.
        requested: lora.target_modules.

    Raises:
        LlmError: "auto" for a model whose blocks cannot be told, or a name no linear layer has.
    """
    if tuple(requested) == AUTO:
        return _block_projections(model)
    names = _linear(model)
    for wanted in requested:
        if not any(name == wanted or name.endswith(f".{wanted}") for name in names):
            raise LlmError(
                f"lora.target_modules: no linear layer is called {wanted!r}. This model has {_kinds(model)}; or: [auto]"
            )
    return tuple(requested)


def _block_projections(model: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers inside the decoder's blocks, in the order of the first block."""
    decoder = getattr(model, "get_decoder", lambda: None)()
    blocks = getattr(decoder, "layers", None)
    names: dict[str, None] = {}
    for block in blocks if isinstance(blocks, nn.ModuleList) else ():
        names.update(dict.fromkeys(name.rpartition(".")[2] for name in _linear(block)))
    if not names:
        raise LlmError(
            f"lora.target_modules=[auto]: the blocks of a {type(model).__name__} cannot be told. Name some of its "
            f"linear layers (it has {_kinds(model)}): lora.target_modules=[NAME,...]"
        )
    return tuple(names)


def _kinds(model: nn.Module) -> str:
    """Last parts of the names of all linear layers; a projection of another class, as gpt2's Conv1D, is none."""
    return ", ".join(sorted({name.rpartition(".")[2] for name in _linear(model)})) or "none"


def _linear(model: nn.Module) -> list[str]:
    """Names of the linear layers, in the order of the model."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
