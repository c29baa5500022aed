"""Why a recorded row is not compared: what it leaves open. Prefixes of row ids, longest first."""

from __future__ import annotations

REASONS = {
    "cs336-bcrafton-": "compiled by torch.compile: which tensors exist is the compiler's choice",
    "cs336-luke396-": "own model code, of which nothing is recorded",
    "fms-a100_80gb_pf-": "samples padded to the longest of a batch: lengths are not recorded",
    "fms-": "Triton, Liger, GPTQ or bitsandbytes kernels, or several cards: not plain PyTorch on one card",
    "litgpt-hub-": "length is a cap and the configuration a file elsewhere; the model code is litgpt's own",
    "litgpt-": "litgpt's own model and adapter code at an old commit; printed in GB with two decimals",
    "peft-mm-": "lengths vary by batch, and the peak includes generation",
    "peft-img-": "a diffusers transformer, which this project does not install",
    "xmem-convnext": "convolutions of torchvision: cuDNN workspaces are chosen at run time",
    "xmem-mnasnet": "convolutions of torchvision: cuDNN workspaces are chosen at run time",
    "xmem-t5-small": "the lengths of the decoder's samples are not recorded",
    "thunder-": "compiled by Thunder",
    "torchao-": "compiled, or batch and length are not recorded",
    "torchtune-": "compiled, or the optimizer runs inside backward; printed with one decimal",
}


def reason_for(row_id: str) -> str | None:
    """Why the row is left out; None if nobody has looked at it."""
    known = [prefix for prefix in REASONS if row_id.startswith(prefix)]
    return REASONS[max(known, key=len)] if known else None
