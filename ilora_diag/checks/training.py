"""Errors of checkpoints and training code, which no fact of the machine explains (L12)."""

from __future__ import annotations

from collections.abc import Iterator

from ilora_diag.checks.case import Case, Ground
from ilora_diag.checks.claims import Claim, claim, fits, suggests
from ilora_diag.checks.deciders import decider

_PICKLE = (
    r"Weights only load failed|was not an allowed global by default|Can't get attribute '\w+' on <module|"
    r"(?:torch\.load|unpickl|pickle)[^\n]*(?:No module named|ModuleNotFoundError|AttributeError)|"
    r"_pickle\.UnpicklingError"
)
_DEVICES = (
    r"Expected all tensors to be on the same device|found at least two devices|Input type \([^\n]*should be the same"
)
_TWICE = r"Trying to backward through the graph a second time"
_CHECKPOINTING = r"checkpoint|gradient_checkpointing|use_reentrant|CheckpointFunction"
_NO_GRAD = r"element 0 of tensors does not require grad|None of the inputs have requires_grad=True"
_READY_TWICE = r"Expected to mark a variable ready only once"


def check(case: Case) -> Iterator[Claim]:
    """All rules of the family."""
    yield from _pickle(case)
    if said := case.error_says(_DEVICES, "same_device", "input_weight_type"):
        yield claim(
            "TRN002", [suggests(said)], decider=decider("error.text"),
            remedy="python -m probes.place   # lists the parameters that stayed on another device",
        )  # fmt: skip
    yield from _reentrant(case)
    yield from _frozen(case)


def _pickle(case: Case) -> Iterator[Claim]:
    said = case.error_says(_PICKLE, "weights_only", "pickle_module")
    if not said:
        return
    missing = "No module named" in str(said.observed) and not case.error_says(
        r"torch[./]serialization|torch\.load|unpickl|pickle|load_state|checkpoint", "weights_only"
    )
    if missing:
        return  # a package that is not installed, which no checkpoint is to blame for
    named = case.texts("checkpoint.pickle_globals")
    grounds: list[Ground] = [suggests(said)]
    grounds += [suggests(case.seen("checkpoint.pickle_globals"))] if named else []
    yield claim(
        "TRN001", grounds, decider=decider("checkpoint.pickle_globals"),
        remedy="python -c \"import torch; torch.load('FILE', weights_only=False)\"   # only if you trust who made it",
    )  # fmt: skip


def _reentrant(case: Case) -> Iterator[Claim]:
    said = case.error_says(_TWICE, "backward_twice") or case.error_says(_READY_TWICE, "ddp_twice")
    if not said:
        return
    checkpointed = case.says(_CHECKPOINTING, "ckpt_mismatch", "ckpt_no_grad_warning")
    grounds: list[Ground] = [suggests(said) if checkpointed else fits(said)]
    grounds += [fits(checkpointed)] if checkpointed else []
    yield claim(
        "TRN003", grounds, decider=decider("error.text"),
        remedy="model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={'use_reentrant': False})",
    )  # fmt: skip


def _frozen(case: Case) -> Iterator[Claim]:
    said = case.error_says(_NO_GRAD, "no_grad_element0", "ckpt_no_grad_warning")
    if not said:
        return
    checkpointed = case.says(_CHECKPOINTING, "ckpt_no_grad_warning") or case.says(
        r"None of the inputs have requires_grad"
    )
    grounds: list[Ground] = [suggests(said) if checkpointed else fits(said)]
    grounds += [fits(checkpointed)] if checkpointed else []
    yield claim("TRN004", grounds, decider=decider("error.text"), remedy="model.enable_input_require_grads()")
