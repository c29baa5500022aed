"""Recipes for the rows recorded with hand-written language models (the assignment of Stanford's CS336).

Sizes, order and lifetimes come from the rows and from the frames inside the snapshots they name; what each script kept
between its steps comes from the blocks that are alive when the recording begins.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.cases.case import Held, Program, nothing, repeated
from benchmarks.cases.lm_adapters import AdaptersLm, InPlaceAdamW
from benchmarks.cases.lm_course import CourseAdamW, CourseLm, cross_entropy
from benchmarks.cases.lm_double_exp import DoubleExpLm, PlainAdamW, last_token_loss
from benchmarks.cases.lm_fused_qkv import FusedQkvLm
from benchmarks.cases.lm_fused_qkv import cross_entropy as fused_cross_entropy
from benchmarks.cases.lm_parts import LmShape
from benchmarks.cases.lm_rotate_half import RotateHalfLm
from benchmarks.cases.recipe import Recipe

# The assignment's sizes. The context is the recorded length unless a script made longer tables.
SIZES = {
    "small": (768, 12, 12, 3072),
    "medium": (1024, 24, 16, 4096),
    "large": (1280, 36, 20, 5120),
    "xl": (1600, 48, 25, 6400),
    "2.7B": (2560, 32, 32, 10240),
}
WARM_UP = 5


def shape_of(size: str, context: int) -> LmShape:
    hidden, layers, heads, inner = SIZES[size]
    return LmShape(hidden=hidden, layers=layers, heads=heads, inner=inner, vocab=10_000, context=context)


def ids(*size: int, device: str) -> Tensor:
    """Token ids made on the device."""
    return torch.randint(0, 10_000, size, device=device)


def autocast(device: str, *, on: bool) -> AbstractContextManager[object]:
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16) if on else nullcontext()


def charan(device: str) -> Program:
    """Five forwards without gradients, recorded from the first one on."""
    model = CourseLm(shape_of("small", 512), device)
    x = ids(4, 512, device=device)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return Program(prepare=nothing, window=repeated(forward, 5))


def wedsonlin(length: int, *, training: bool, half: bool = False) -> Callable[[str], Program]:
    """Five warm-up steps on five batches made beforehand, then one recorded step."""

    def build(device: str) -> Program:
        model = CourseLm(shape_of("medium", length), device)
        x = ids(WARM_UP, 4, length, device=device)
        y = ids(WARM_UP, 4, length, device=device) if training else x
        optimizer = CourseAdamW(model.parameters())
        held = Held()

        def step(index: int) -> None:
            optimizer.zero_grad(set_to_none=True)
            recorded_step(index)

        def recorded_step(index: int) -> None:
            logits = model(x[index])
            loss = cross_entropy(logits, y[index])
            loss.backward()
            optimizer.step()
            held["logits"], held["loss"] = logits, loss

        def infer(index: int) -> None:
            with torch.inference_mode(), autocast(device, on=half):
                model(x[index])

        def prepare() -> None:
            for index in range(WARM_UP):
                (step if training else infer)(index)
            optimizer.zero_grad(set_to_none=True)
            held.drop("logits", "loss")

        work = recorded_step if training else infer
        return Program(prepare=prepare, window=lambda: work(0))

    return build


def magma(device: str) -> Program:
    """Forward and backward whose gradients pile up; the script's names outlive each step."""
    model = CourseLm(shape_of("small", 256), device)
    x, y = ids(32, 256, device=device), ids(32, 256, device=device)
    held = Held()

    def step() -> None:
        held["logits"] = logits = model(x)
        held["loss"] = loss = cross_entropy(logits, y)
        loss.backward()

    return Program(prepare=repeated(step, WARM_UP), window=step)


def hyperion(length: int, *, grad: bool, half: bool) -> Callable[[str], Program]:
    """One forward with its loss; the previous one's logits and graph are still held while it runs."""

    def build(device: str) -> Program:
        model = CourseLm(shape_of("large", length), device, gather=True)
        x, y = ids(1, length, device=device), ids(1, length, device=device)
        held = Held()

        def step() -> None:
            with torch.set_grad_enabled(grad), autocast(device, on=half):
                held["logits"] = logits = model(x)
                held["loss"] = F.cross_entropy(logits.view(-1, logits.shape[-1]), y.view(-1))

        def prepare() -> None:
            repeated(step, WARM_UP)()
            torch.cuda.empty_cache()

        return Program(prepare=prepare, window=step)

    return build


def ctknight(length: int, *, half: bool) -> Callable[[str], Program]:
    """One forward with its loss in a function of its own: nothing outlives it."""

    def build(device: str) -> Program:
        model = FusedQkvLm(shape_of("2.7B", length), device)
        x, y = ids(4, length, device=device), ids(4, length, device=device)

        def step() -> None:
            with torch.no_grad(), autocast(device, on=half):
                logits = model(x)
                fused_cross_entropy(logits, y)

        return Program(prepare=repeated(step, WARM_UP), window=step)

    return build


def niu(length: int, *, training: bool, half: bool = False) -> Callable[[str], Program]:
    """Everything from the construction of the model on: three steps, or three forwards whose graphs are dropped."""

    def build(device: str) -> Program:
        shape = LmShape(hidden=512, layers=4, heads=16, inner=1344, vocab=10_000, context=length)
        held = Held()

        def window() -> None:
            model = DoubleExpLm(shape, device)
            optimizer = PlainAdamW(model.parameters()) if training else None
            x = torch.zeros(10, length, dtype=torch.int64, device="cpu").to(device)
            y = torch.zeros(10, dtype=torch.int64, device="cpu").to(device) if training else None
            held["model"], held["optimizer"], held["x"], held["y"] = model, optimizer, x, y
            for _ in range(3):
                if optimizer is not None:
                    optimizer.zero_grad()
                with autocast(device, on=half):
                    if not training:
                        model(x)
                        continue
                    held["logits"] = logits = model(x)
                assert y is not None
                assert optimizer is not None
                # `logits[:, -1, :]` as torch 2.6 recorded it: the slices that take everything were ops too.
                last = logits.narrow(0, 0, 10).select(1, -1).narrow(1, 0, shape.vocab)
                loss = last_token_loss(last, y)
                loss.backward()
                optimizer.step()

        return Program(prepare=nothing, window=window)

    return build


def hanmin(size: str, *, training: bool) -> Callable[[str], Program]:
    """A training loop: the whole step in float32, or the forward of it under autocast with everything else resident."""

    def build(device: str) -> Program:
        model = AdaptersLm(shape_of(size, 256), device)
        x = ids(4, 256, device=device)
        optimizer = InPlaceAdamW(model.parameters())
        held = Held()

        def forward() -> Tensor:
            with autocast(device, on=not training):
                held["logits"] = logits = model(x)
            return logits

        def step() -> None:
            logits = forward()
            held["loss"] = loss = logits.sum()
            del logits
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return Program(prepare=repeated(step, WARM_UP), window=step if training else forward)

    return build


def silmont(*, half: bool) -> Callable[[str], Program]:
    """One forward without gradients after warm-ups."""

    def build(device: str) -> Program:
        model = RotateHalfLm(shape_of("small", 128), device)
        x = ids(4, 128, device=device)

        def step() -> None:
            with torch.no_grad(), autocast(device, on=half):
                model(x)

        return Program(prepare=repeated(step, WARM_UP), window=step)

    return build


def course_step(size: str, batch: int, length: int, *, segment: int = 0, steps: int = 3) -> Callable[[str], Program]:
    """A whole step of the course model with the course's AdamW; `segment` blocks are recomputed together if given."""

    def build(device: str) -> Program:
        def window() -> None:
            model = CourseLm(shape_of(size, length), device, gather=True)
            if segment:
                model.blocks = grouped(list(model.blocks), segment)
            optimizer = CourseAdamW(model.parameters())
            x, y = ids(batch, length, device=device), ids(batch, length, device=device)
            for _ in range(steps):
                optimizer.zero_grad()
                logits = model(x)
                loss = cross_entropy(logits, y)
                loss.backward()
                optimizer.step()

        return Program(prepare=nothing, window=window)

    return build


class Segment(nn.Module):
    """Some blocks whose activations are made again in backward."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.inner = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = checkpoint(self.inner, x, use_reentrant=False)
        return result


def grouped(blocks: list[nn.Module], size: int) -> nn.ModuleList:
    return nn.ModuleList(Segment(blocks[start : start + size]) for start in range(0, len(blocks), size))


def course_forward(device: str) -> Program:
    """The 2.7B model's forward without gradients, batch 4, 256 tokens."""
    model = CourseLm(shape_of("2.7B", 256), device, gather=True)
    x = ids(4, 256, device=device)

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return Program(prepare=repeated(forward, 2), window=forward)


NOT_HOPPER = "The source names no card; its cuBLAS workspace of 8,519,680 bytes rules Hopper out. "
ADA = (
    "1536 bytes of partial sums mean 384 blocks: 128 multiprocessors of 1536 threads, as an RTX 4090 has; with 48 GB. "
)
PRINTED = "Printed figure; the course's own edition of the model is assumed. "

RECIPES = (
    Recipe(id="cs336-charan-small-512-forward", build=charan, gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(
        id="cs336-ctknight-2p7b-128-forward-bf16", build=ctknight(128, half=True), gpu="rtx-4090", notes="Under WSL2."
    ),
    Recipe(id="cs336-hyperion-large-128-fw_with_grad", build=hyperion(128, grad=True, half=False), gpu="a10g"),
    Recipe(id="cs336-hyperion-large-128-fw_with_grad_bf16", build=hyperion(128, grad=True, half=True), gpu="a10g"),
    Recipe(id="cs336-hyperion-large-256-fw", build=hyperion(256, grad=False, half=False), gpu="a10g"),
    Recipe(id="cs336-hyperion-large-256-fw_bf16", build=hyperion(256, grad=False, half=True), gpu="a10g"),
    Recipe(id="cs336-hyperion-large-256-fw_with_grad_bf16", build=hyperion(256, grad=True, half=True), gpu="a10g"),
    Recipe(id="cs336-hyperion-large-512-fw_bf16", build=hyperion(512, grad=False, half=True), gpu="a10g"),
    Recipe(
        id="cs336-magma27-small-bs32-256-fwdbwd",
        build=magma,
        gpu="a100-80gb",
        notes=NOT_HOPPER + "On Windows.",
    ),
    Recipe(id="cs336-niu-forward-200", build=niu(200, training=False), gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(
        id="cs336-niu-forward-200-mixed", build=niu(200, training=False, half=True), gpu="a100-80gb", notes=NOT_HOPPER
    ),
    Recipe(id="cs336-niu-forward_and_backward-150", build=niu(150, training=True), gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(id="cs336-niu-forward_and_backward-200", build=niu(200, training=True), gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(
        id="cs336-nothanmin-large-256-train",
        build=hanmin("large", training=True),
        gpu="rtx-4090",
        memory_bytes=48 * 2**30,
        notes=NOT_HOPPER + ADA,
    ),
    Recipe(
        id="cs336-nothanmin-xl-256-forward-bf16",
        build=hanmin("xl", training=False),
        gpu="rtx-4090",
        memory_bytes=48 * 2**30,
        notes=NOT_HOPPER + ADA,
    ),
    Recipe(id="cs336-silmont-small-128-bf16-forward", build=silmont(half=True), gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(id="cs336-silmont-small-128-fp32-forward", build=silmont(half=False), gpu="a100-80gb", notes=NOT_HOPPER),
    Recipe(
        id="cs336-wedsonlin-medium-128-inference",
        build=wedsonlin(128, training=False),
        gpu="a100-80gb",
        notes=NOT_HOPPER,
    ),
    Recipe(
        id="cs336-wedsonlin-medium-512-inference",
        build=wedsonlin(512, training=False, half=True),
        gpu="a100-80gb",
        notes=NOT_HOPPER
        + "The row says float32; the recording shows bf16 autocast: weights are cast to half their size before each "
        "product, products are halves, and the fill value of the mask takes 2 bytes.",
    ),
    Recipe(
        id="cs336-wedsonlin-medium-128-training", build=wedsonlin(128, training=True), gpu="a100-80gb", notes=NOT_HOPPER
    ),
    Recipe(
        id="cs336-wedsonlin-medium-256-training", build=wedsonlin(256, training=True), gpu="a100-80gb", notes=NOT_HOPPER
    ),
    Recipe(
        id="cs336-damek-2p7b-256-forward_no_grad",
        build=course_forward,
        gpu="a100-80gb",
        family="cs336 printed",
        notes=PRINTED,
    ),
    Recipe(
        id="cs336-damek-2p7b-512-train_step",
        build=course_step("2.7B", 4, 512, steps=1),
        gpu="a100-80gb",
        family="cs336 printed",
        notes=PRINTED
        + "The optimizer is the course's. The row does not say which step; only the first one, whose forward meets no "
        "states yet, can peak at 16 bytes per parameter.",
    ),
    Recipe(
        id="cs336-hyperion-fit-medium-256-train",
        build=course_step("medium", 1, 256),
        gpu="a10g",
        family="fits or not",
        notes="Known to fit; no figure.",
    ),
    Recipe(id="cs336-hyperion-fit-xl-256-train-OOM", build=course_step("xl", 1, 256), gpu="a10g", family="fits or not"),
    Recipe(
        id="cs336-enzo-2048-ckpt-4-OOM",
        build=course_step("2.7B", 4, 2048, segment=4),
        gpu="a100-80gb",
        family="fits or not",
        notes="Recorded on an A800, which has the A100's memory and architecture.",
    ),
)
