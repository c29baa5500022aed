"""Laws of the choice of attention kernel that hold for any call."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.hardware.attention import BACKENDS, AttentionQuery, choose_attention, priority_order, why_not
from ilora_diag.hardware.scratch import Scratch, efficient_backward, efficient_forward, flash_backward, flash_forward
from ilora_diag.hardware.torch_versions import KNOWN_MINORS

CARDS = ((6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (11, 0), (12, 0), (12, 1))


@st.composite
def queries(draw: st.DrawFn) -> AttentionQuery:
    heads_kv = draw(st.sampled_from((1, 2, 3, 8)))
    has_mask = draw(st.booleans())
    minor = draw(st.sampled_from(KNOWN_MINORS))
    return AttentionQuery(
        compute_capability=draw(st.sampled_from(CARDS)),
        torch_version=f"{minor[0]}.{minor[1]}.0",
        dtype=draw(st.sampled_from(("float16", "bfloat16", "float32", "float64"))),
        batch=draw(st.sampled_from((1, 2, 65536))),
        heads_q=heads_kv * draw(st.sampled_from((1, 2, 3))),
        heads_kv=heads_kv,
        seq_q=draw(st.integers(1, 600)),
        seq_k=draw(st.integers(1, 600)),
        head_dim=draw(st.sampled_from((1, 8, 60, 64, 96, 128, 192, 224, 256, 264))),
        head_dim_v=draw(st.sampled_from((None, 64, 128))),
        has_mask=has_mask,
        mask_requires_grad=draw(st.booleans()),
        enable_gqa=draw(st.booleans()),
        dropout_p=draw(st.sampled_from((0.0, 0.1, 0.125))),
        is_causal=not has_mask and draw(st.booleans()),
        requires_grad=draw(st.booleans()),
        enabled=tuple(draw(st.sets(st.sampled_from(BACKENDS)))),
        deterministic=draw(st.booleans()),
        last_stride_one=draw(st.booleans()),
    )


@settings(max_examples=150, deadline=None)
@given(queries())
def test_the_first_backend_that_can_is_taken_and_those_before_it_say_why_not(query: AttentionQuery) -> None:
    order, choice = priority_order(query), choose_attention(query)
    assert sorted(order) == sorted(BACKENDS)
    asked = order if choice.backend == "none" else order[: order.index(choice.backend)]
    assert tuple(backend for backend, _ in choice.refused) == asked
    assert all(reason == why_not(query, backend) for backend, reason in choice.refused)
    if choice.backend != "none":
        assert why_not(query, choice.backend) is None


@settings(max_examples=150, deadline=None)
@given(queries())
def test_a_backend_switched_off_is_never_taken(query: AttentionQuery) -> None:
    choice = choose_attention(query)
    assert choice.backend == "none" or choice.backend in query.enabled
    if choice.backend != "none":
        rest = replace(query, enabled=tuple(b for b in query.enabled if b != choice.backend))
        later = choose_attention(rest).backend
        order = priority_order(query)
        assert later == "none" or order.index(later) > order.index(choice.backend)


@settings(max_examples=150, deadline=None)
@given(queries())
def test_math_takes_whatever_is_left_to_it(query: AttentionQuery) -> None:
    everything = replace(query, enabled=BACKENDS)
    assert choose_attention(everything).backend != "none"
    assert why_not(everything, "math") is None


@settings(max_examples=150, deadline=None)
@given(queries())
def test_what_no_kernel_of_a_kind_can_do(query: AttentionQuery) -> None:
    backend = choose_attention(query).backend
    if query.scalar in ("float32", "float64"):
        assert backend not in ("flash", "cudnn")
    if query.scalar == "float64":
        assert backend != "efficient"
    if query.has_mask:
        assert backend != "flash"
    if query.compute_capability < (8, 0):
        assert backend not in ("flash", "cudnn")
    if query.deterministic:
        assert backend != "cudnn"


@settings(max_examples=150, deadline=None)
@given(queries())
def test_needing_less_never_costs_a_backend(query: AttentionQuery) -> None:
    easier = replace(query, requires_grad=False, dropout_p=0.0, has_mask=False, last_stride_one=True)
    for backend in BACKENDS:
        if why_not(query, backend) is None:
            assert why_not(easier, backend) is None


@settings(max_examples=100, deadline=None)
@given(queries())
def test_scratch_is_known_or_said_to_be_unknown_and_grows_with_the_batch(query: AttentionQuery) -> None:
    small = replace(query, batch=2)
    for size in (
        efficient_forward,
        efficient_backward,
        lambda q: flash_forward(q, 108),
        lambda q: flash_backward(replace(q, deterministic=False), 108),
    ):
        scratch = size(small)
        if not isinstance(scratch, Scratch):
            continue
        assert scratch.peak_bytes <= sum(buffer.num_bytes for buffer in scratch.buffers)
        events = list(scratch.events())
        assert sum(b.num_bytes if a == "alloc" else -b.num_bytes for a, b in events) == 0
    once, twice = efficient_forward(small), efficient_forward(replace(small, batch=4))
    if isinstance(once, Scratch) and isinstance(twice, Scratch):
        assert 2 * once.peak_bytes == twice.peak_bytes
