"""Fixed memory estimates: OPT-125m on four cards, 7B that runs out of memory while it loads, a step near the limit.

The figures are plausible, not measured. Everything is derived from one list of blocks a record, so that the sums agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ilora_diag.schema import (
    CardEstimate,
    Category,
    CategoryShare,
    CurvePoint,
    Estimate,
    Gap,
    Interval,
    Knob,
    Known,
    ModuleShare,
    OomAnswer,
    OpShare,
    PeakBytes,
    PhasePeak,
    Settings,
    Unavailable,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PARAMETER, GRADIENT, STATE, ACTIVATION = (
    Category.PARAMETER, Category.GRADIENT, Category.OPTIMIZER_STATE, Category.ACTIVATION,
)  # fmt: skip
CONTEXT_BASIS = "table of CUDA context sizes, not measured on this machine"


@dataclass(frozen=True, slots=True)
class Held:
    """Allocated bytes at the peak, with everything they are told apart by."""

    module: str
    category: Category
    op: str
    size_bytes: int


def fixed_estimates() -> dict[str, Estimate]:
    """The records by name."""
    return {"opt": opt_on_four_cards(), "load-oom": seven_b_on_t4(), "tight": close_to_the_limit()}


def opt_on_four_cards() -> Estimate:
    """OPT-125m, fp32, LoRA r=8 on q and v, batch 2, 128 tokens: the second incident's step, checkpointing off."""
    blocks = tuple(_opt_blocks())
    names = (("h100", "NVIDIA H100 80GB HBM3", "9.0", 81_559), ("a100-80gb", "NVIDIA A100-SXM4-80GB", "8.0", 81_920),
             ("l4", "NVIDIA L4", "8.9", 23_034), ("t4", "Tesla T4", "7.5", 15_360))  # fmt: skip
    allocated = _total(blocks)
    cards = []
    for (gpu, name, capability, memory_mib), batch in zip(names, (612, 612, 158, 98), strict=True):
        workspace = 32 * MIB if gpu == "h100" else 8 * MIB
        own = allocated - 32 * MIB + workspace
        peak = PeakBytes(
            requested_bytes=own - 741_376,
            allocated_bytes=own,
            reserved_bytes=own + 30 * MIB,
            device_used_bytes=own + 30 * MIB + 512 * MIB,
        )
        cards.append(
            _card(
                gpu,
                name,
                capability,
                memory_mib * MIB,
                peak,
                attention="flash" if gpu != "t4" else "efficient",
                largest_batch_that_fits=batch,
            )
        )
    return _estimate(
        tuple(cards),
        blocks,
        settings=(
            ("stage", "teacher"),
            ("llm.preset", "opt-125m"),
            ("lora.target_modules", ("q_proj", "v_proj")),
            ("data.max_seq_len", 128),
            ("train.batch_size", 2),
            ("train.gradient_checkpointing", False),
        ),
        knobs=_opt_knobs(cards[0].peak),
        num_requests=18_412,
        duration_s=3.84,
    )


def seven_b_on_t4() -> Estimate:
    """Mistral-7B in fp32 on 16 GB: the weights alone do not fit."""
    blocks = tuple(_seven_b_blocks(num_layers=32))
    layers = tuple(block for block in blocks if _layer(block.module) < 32)
    capacity = 15_360 * MIB - 450 * MIB
    fitting: list[Held] = []
    while _total((*fitting, layers[len(fitting)])) <= capacity:
        fitting.append(layers[len(fitting)])
    refused = layers[len(fitting)]
    allocated = _total(tuple(fitting))
    peak = PeakBytes(
        requested_bytes=allocated,
        allocated_bytes=allocated,
        reserved_bytes=allocated + 12 * MIB,
        device_used_bytes=allocated + 12 * MIB + 450 * MIB,
    )
    free = 15_360 * MIB - peak.device_used_bytes
    message = (
        f"CUDA out of memory. Tried to allocate {refused.size_bytes / MIB:.2f} MiB. GPU 0 has a total capacity of "
        f"15.00 GiB of which {free / MIB:.2f} MiB is free. Including non-PyTorch memory, this process has "
        f"{peak.device_used_bytes / GIB:.2f} GiB memory in use."
    )
    oom = OomAnswer(
        step=0,
        phase="load",
        module=refused.module,
        op="aten::_to_copy",
        requested_bytes=refused.size_bytes,
        message=message,
    )
    card = replace(
        _card("t4", "Tesla T4", "7.5", 15_360 * MIB, peak, largest_batch_that_fits=0),
        attention=Unavailable(reason="out of memory before the first attention", source="trace"),
        fits=False,
        oom=oom,
        num_alloc_retries=1,
    )
    estimate = _estimate(
        (card,),
        tuple(fitting),
        settings=(("stage", "teacher"), ("llm.preset", "mistral-7b"), ("train.batch_size", 1)),
        knobs=(
            Knob(
                change="llm.quantization=nf4",
                peak_allocated_bytes=5_210 * MIB,
                peak_reserved_bytes=5_420 * MIB,
                cost="slower matrix products; the frozen weights are rounded to 4 bits",
            ),
            _unknown_knob("train.gradient_checkpointing=true", "out of memory in load, before it matters"),
        ),
        num_requests=291,
        duration_s=1.2,
    )
    load = PhasePeak(step=0, phase="load", allocated_bytes=peak.allocated_bytes, reserved_bytes=peak.reserved_bytes)
    return replace(estimate, by_phase=(load,), curve=_loading(fitting, estimate.curve_categories), steps=0)


def close_to_the_limit() -> Estimate:
    """A script's step whose interval straddles the card's memory, beside another process, with no attention in it."""
    blocks = (
        Held("", Category.INPUT, "aten::empty", 3 * MIB),
        Held("encoder.0", PARAMETER, "aten::empty", 900 * MIB),
        Held("encoder.2", PARAMETER, "aten::empty", 900 * MIB),
        Held("encoder.0", ACTIVATION, "aten::addmm", 5_300 * MIB),
        Held("encoder.1", ACTIVATION, "aten::relu", 5_300 * MIB),
        Held("optimizer", STATE, "aten::zeros_like", 600 * MIB),
    )
    allocated, others = _total(blocks), 1_290 * MIB
    peak = PeakBytes(
        requested_bytes=allocated - 1024,
        allocated_bytes=allocated,
        reserved_bytes=allocated + 41 * MIB,
        device_used_bytes=allocated + 41 * MIB + 450 * MIB + others,
    )
    memory = 15_360 * MIB
    card = replace(
        _card("t4", "Tesla T4", "7.5", memory, peak, largest_batch_that_fits=1),
        interval=Interval(
            low_bytes=memory - 700 * MIB, high_bytes=memory + 60 * MIB, basis="1 % of reserved; CUDA context"
        ),
        fits=Unavailable(reason="the interval holds the card's memory", source="interval"),
        attention="none",
        largest_batch_that_fits=Unavailable(reason="a script's batch cannot be changed from outside", source="run"),
        num_alloc_retries=3,
    )
    gaps = (*_chain(peak, context_bytes=450 * MIB)[:-1], Gap(name="context", size_bytes=450 * MIB),
            Gap(name="other processes", size_bytes=others))  # fmt: skip
    return replace(_estimate((card,), blocks, settings=(), knobs=(), num_requests=77, duration_s=0.4), chain=gaps)


def _estimate(
    cards: tuple[CardEstimate, ...],
    blocks: tuple[Held, ...],
    *,
    settings: Settings,
    knobs: tuple[Knob, ...],
    num_requests: int,
    duration_s: float,
) -> Estimate:
    first = cards[0]
    order = tuple(category for category in Category if any(block.category is category for block in blocks))
    return Estimate(
        gpu=first.gpu,
        torch="2.13.0",
        settings=settings,
        steps=3,
        peak=first.peak,
        interval=first.interval,
        fits=first.fits,
        by_category=tuple(CategoryShare(category=key, size_bytes=size) for key, size in _sums(blocks, "category")),
        by_module=tuple(ModuleShare(module=key, size_bytes=size) for key, size in _sums(blocks, "module")),
        by_op=tuple(OpShare(op=key, size_bytes=size) for key, size in _sums(blocks, "op")),
        by_phase=_phases(first.peak),
        chain=_chain(first.peak, context_bytes=first.peak.device_used_bytes - first.peak.reserved_bytes),
        largest_batch_that_fits=first.largest_batch_that_fits,
        knobs=knobs,
        cards=cards,
        curve_categories=order,
        curve=tuple(_curve(blocks, order, first.peak)),
        num_requests=num_requests,
        assumptions=(
            "every batch is padded to data.max_seq_len",
            "no other process holds memory on the card",
        ),
        duration_s=duration_s,
    )


def _card(
    gpu: str,
    name: str,
    capability: str,
    memory_bytes: int,
    peak: PeakBytes,
    *,
    attention: Known[str] = "efficient",
    largest_batch_that_fits: Known[int],
) -> CardEstimate:
    used = peak.device_used_bytes
    return CardEstimate(
        gpu=gpu,
        name=name,
        compute_capability=capability,
        memory_bytes=memory_bytes,
        attention=attention,
        peak=peak,
        context_bytes=Interval(low_bytes=400 * MIB, high_bytes=640 * MIB, basis=CONTEXT_BASIS),
        interval=Interval(
            low_bytes=used - 120 * MIB, high_bytes=used + 160 * MIB, basis="1 % of reserved; CUDA context"
        ),
        fits=used + 160 * MIB <= memory_bytes,
        oom=None,
        num_alloc_retries=0,
        largest_batch_that_fits=largest_batch_that_fits,
    )


def _chain(peak: PeakBytes, *, context_bytes: int) -> tuple[Gap, ...]:
    return (
        Gap(name="requested", size_bytes=peak.requested_bytes),
        Gap(name="rounding", size_bytes=peak.allocated_bytes - peak.requested_bytes),
        Gap(name="cached", size_bytes=peak.reserved_bytes - peak.allocated_bytes),
        Gap(name="context", size_bytes=context_bytes),
    )


def _opt_blocks() -> Iterator[Held]:
    root = "base_model.model.model.decoder"
    yield Held(f"{root}.embed_tokens", PARAMETER, "aten::_to_copy", 50_272 * 768 * 4)
    yield Held(f"{root}.embed_positions", PARAMETER, "aten::_to_copy", 2_050 * 768 * 4)
    hidden = 2 * 128 * 768 * 4
    for number in range(12):
        layer = f"{root}.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield Held(f"{layer}.self_attn.{name}", PARAMETER, "aten::_to_copy", 768 * 769 * 4)
            yield Held(f"{layer}.self_attn.{name}", ACTIVATION, "aten::addmm", hidden)
        for name in ("q_proj", "v_proj"):
            for matrix in ("lora_A", "lora_B"):
                adapter = f"{layer}.self_attn.{name}.{matrix}.default"
                yield Held(adapter, PARAMETER, "aten::empty", 768 * 8 * 4)
                yield Held(adapter, GRADIENT, "aten::mm", 768 * 8 * 4)
                yield Held(adapter, STATE, "aten::zeros_like", 2 * 768 * 8 * 4)
        yield Held(f"{layer}.self_attn", ACTIVATION, "aten::_scaled_dot_product_flash_attention", hidden + 12 * KIB)
        for name, size in (("fc1", 4), ("fc2", 1)):
            yield Held(f"{layer}.{name}", PARAMETER, "aten::_to_copy", 768 * 3_072 * 4 + 3_072 * 4)
            yield Held(f"{layer}.{name}", ACTIVATION, "aten::addmm", hidden * size)
        yield Held(f"{layer}.activation_fn", ACTIVATION, "aten::relu", hidden * 4)
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            yield Held(f"{layer}.{name}", PARAMETER, "aten::_to_copy", 2 * 768 * 4)
            yield Held(f"{layer}.{name}", ACTIVATION, "aten::native_layer_norm", hidden + 2 * KIB)
    logits = 2 * 128 * 50_272 * 4
    yield Held("base_model.model.lm_head", ACTIVATION, "aten::mm", logits)
    yield Held("base_model.model", ACTIVATION, "aten::_log_softmax", logits)
    yield Held("base_model.model", Category.TEMPORARY, "aten::_log_softmax_backward_data", logits)
    yield Held("", Category.INPUT, "aten::_to_copy", 3 * 2 * 128 * 8)
    yield Held("base_model.model.lm_head", Category.WORKSPACE, "cublas workspace", 32 * MIB)


def _seven_b_blocks(num_layers: int) -> Iterator[Held]:
    yield Held("model.embed_tokens", PARAMETER, "aten::_to_copy", 32_000 * 4_096 * 4)
    shapes = {"self_attn.q_proj": 4_096 * 4_096, "self_attn.k_proj": 4_096 * 1_024, "self_attn.v_proj": 4_096 * 1_024,
              "self_attn.o_proj": 4_096 * 4_096, "mlp.gate_proj": 4_096 * 14_336, "mlp.up_proj": 4_096 * 14_336,
              "mlp.down_proj": 4_096 * 14_336}  # fmt: skip
    for number in range(num_layers):
        for name, count in shapes.items():
            yield Held(f"model.layers.{number}.{name}", PARAMETER, "aten::_to_copy", count * 4)


def _layer(module: str) -> int:
    return next((int(part) for part in module.split(".") if part.isdecimal()), 0)


def _opt_knobs(peak: PeakBytes) -> tuple[Knob, ...]:
    def knob(change: str, reserved_mib: int, cost: str) -> Knob:
        saved = reserved_mib * MIB
        return Knob(
            change=change,
            peak_allocated_bytes=peak.allocated_bytes - saved,
            peak_reserved_bytes=peak.reserved_bytes - saved,
            cost=cost,
        )

    return (
        knob("lora.r=16", -12, "about nothing"),
        knob("train.batch_size=1", 142, "half the samples a step, or twice the steps"),
        knob("model.head=items", 152, "ranks items instead of writing their titles"),
        knob("data.max_seq_len=64", 138, "older history is left out"),
        _unknown_knob("llm.attn_implementation=flash_attention_2", "flash_attn is not installed"),
        knob("train.precision=bf16", 380, "bfloat16 weights: small updates may be lost"),
        knob("train.gradient_checkpointing=true", 96, "about a third more time a step: activations are recomputed"),
        knob("train.optimizer=sgd", 0, "adapters usually need AdamW"),
    )


def _unknown_knob(change: str, reason: str) -> Knob:
    unknown = Unavailable(reason=reason, source="knobs")
    return Knob(
        change=change,
        peak_allocated_bytes=unknown,
        peak_reserved_bytes=unknown,
        cost="about a third more time a step" if "checkpointing" in change else "another kernel",
    )


def _phases(peak: PeakBytes) -> tuple[PhasePeak, ...]:
    def phase(step: int, name: str, part: float, reserved: float) -> PhasePeak:
        return PhasePeak(
            step=step,
            phase=name,
            allocated_bytes=int(peak.allocated_bytes * part),
            reserved_bytes=int(peak.reserved_bytes * reserved),
        )

    steps = [
        (step, name, part, reserved)
        for step, parts in ((1, (0.9, 0.98, 0.71)), (2, (0.93, 1.0, 0.74)), (3, (0.93, 1.0, 0.74)))
        for (name, part), reserved in zip(
            zip(("forward", "backward", "optimizer"), parts, strict=True), (0.95, 1.0, 1.0), strict=True
        )
    ]
    return (phase(0, "load", 0.68, 0.7), *(phase(*step) for step in steps), phase(3, "validation", 0.8, 1.0))


def _curve(blocks: tuple[Held, ...], order: tuple[Category, ...], peak: PeakBytes) -> Iterator[CurvePoint]:
    """An invented course: loading ramps up, a step is a hill, states appear in the first optimizer step."""
    held = dict(_sums(blocks, "category"))
    course = [(0, "load", 40)]
    for step in (1, 2, 3):
        course += [(step, "forward", 160), (step, "backward", 220), (step, "optimizer", 60)]
    event, reserved = 0, 0
    for step, phase, num_events in course:
        for number in range(num_events):
            done = (number + 1) / num_events
            sizes = tuple(int(held[category] * _part(category, step, phase, done)) for category in order)
            reserved = min(peak.reserved_bytes, max(reserved, int(sum(sizes) * 1.03)))
            yield CurvePoint(event=event, step=step, phase=phase, reserved_bytes=reserved, sizes=sizes)
            event += 1


def _part(category: Category, step: int, phase: str, done: float) -> float:
    if category is PARAMETER:
        return done if phase == "load" else 1.0
    if phase == "load":
        return 0.0
    if category is STATE:
        return 1.0 if step > 1 else done if phase == "optimizer" else 0.0
    if category is GRADIENT:
        return done if phase == "backward" else 1.0 if phase == "optimizer" else 0.0
    if category is Category.WORKSPACE:
        return 1.0
    return {"forward": done, "backward": 1.0 - done if done > 0.02 else 1.0, "optimizer": 0.0}[phase]


def _loading(blocks: list[Held], order: tuple[Category, ...]) -> tuple[CurvePoint, ...]:
    points, total = [], 0
    for event, block in enumerate(blocks):
        total += block.size_bytes
        points.append(
            CurvePoint(
                event=event, step=0, phase="load", reserved_bytes=total, sizes=(total,) + (0,) * (len(order) - 1)
            )
        )
    return tuple(points)


def _sums(blocks: tuple[Held, ...], key: str) -> list[tuple[Any, int]]:
    sums: dict[Any, int] = {}
    for block in blocks:
        sums[getattr(block, key)] = sums.get(getattr(block, key), 0) + block.size_bytes
    return list(sums.items())


def _total(blocks: tuple[Held, ...]) -> int:
    return sum(block.size_bytes for block in blocks)
