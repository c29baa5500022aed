"""Gates in use: per thread, properly nested, never from before a backward inside it."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import torch
from torch import Tensor

from ilora.lora import GateContext, GateMissingError, GateShapeError, RecomputeError

T = TypeVar("T")


def gates_for(value: float) -> Tensor:
    return torch.full((2, 3), value)


def in_thread(work: Callable[[], T]) -> T:
    """The result of `work` on a thread of its own; its exception is raised here."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


def test_inner_gates_hide_outer_ones_until_they_end() -> None:
    context, outer, inner = GateContext(), gates_for(1), gates_for(2)
    with context.use(outer):
        with context.use(inner):
            assert context.current().gates is inner
        assert context.current().gates is outer
    with pytest.raises(GateMissingError):
        context.current()


def test_gates_end_with_their_block_even_if_it_fails() -> None:
    context = GateContext()
    with pytest.raises(RuntimeError, match="on purpose"), context.use(gates_for(1)):
        raise RuntimeError("on purpose")
    with pytest.raises(GateMissingError):
        context.current()


def test_gates_of_one_thread_are_not_seen_by_another() -> None:
    context = GateContext()
    with context.use(gates_for(1)), pytest.raises(GateMissingError):
        in_thread(context.current)


def test_threads_at_the_same_time_see_their_own() -> None:
    context, barrier = GateContext(), threading.Barrier(4)
    seen: dict[int, bool] = {}

    def work(index: int) -> None:
        mine = gates_for(index)
        for _ in range(20):
            with context.use(mine):
                barrier.wait(timeout=10)
                seen[index] = seen.get(index, True) and context.current().gates is mine
                barrier.wait(timeout=10)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == dict.fromkeys(range(4), True)


def test_two_contexts_do_not_mix() -> None:
    first, second = GateContext(), GateContext()
    with first.use(gates_for(1)), pytest.raises(GateMissingError):
        second.current()


@pytest.mark.parametrize("shape", [(3,), (2, 1, 3)])
def test_gates_must_be_a_matrix(shape: tuple[int, ...]) -> None:
    context = GateContext()
    with pytest.raises(GateShapeError, match="a row per sample"), context.use(torch.rand(shape)):
        pass


def test_recorded_gates_return_on_whichever_thread_recomputes() -> None:
    context, mine = GateContext(), gates_for(1)
    with context.use(mine):
        _, recompute = context.checkpoint_contexts()

    def recompute_there() -> Tensor | None:
        with recompute:
            return context.current().gates

    with context.use(gates_for(2)):
        assert in_thread(recompute_there) is mine
        assert recompute_there() is mine  # and again: retain_graph enters the same object twice


def test_recording_without_gates_hides_those_in_use_at_recomputation() -> None:
    context = GateContext()
    _, recompute = context.checkpoint_contexts()
    with context.use(gates_for(2)), recompute, pytest.raises(GateMissingError):
        context.current()


def test_contexts_of_another_context_fn_are_entered_too() -> None:
    entered: list[str] = []

    class Note:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            entered.append(self.name)

        def __exit__(self, *_: object) -> None:
            entered.append(f"{self.name} ends")

    forward, recompute = GateContext().checkpoint_contexts(lambda: (Note("forward"), Note("recompute")))
    with forward:
        pass
    with recompute:
        pass
    assert entered == ["forward", "forward ends", "recompute", "recompute ends"]


class RunsInBackward(torch.autograd.Function):
    """Calls a function inside backward."""

    @staticmethod
    def forward(ctx, x, work):  # type: ignore[no-untyped-def]
        ctx.work = work
        return x.clone()

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        ctx.work()
        return grad, None


def run_in_backward(work: Callable[[], object]) -> None:
    RunsInBackward.apply(torch.ones(1, requires_grad=True), work).backward()


def test_gates_put_in_place_before_a_backward_do_not_count_inside_it() -> None:
    context = GateContext()
    with context.use(gates_for(1)), pytest.raises(RecomputeError, match="use_reentrant=True"):
        run_in_backward(context.current)


def test_gates_put_in_place_inside_a_backward_count_there() -> None:
    context, mine = GateContext(), gates_for(1)
    seen: list[Tensor | None] = []

    def work() -> None:
        with context.use(mine):
            seen.append(context.current().gates)

    run_in_backward(work)
    assert seen[0] is mine


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda context: pickle.loads(pickle.dumps(context))])
def test_copies_start_empty(clone: Callable[[GateContext], GateContext]) -> None:
    context = GateContext()
    with context.use(gates_for(1)), pytest.raises(GateMissingError):
        clone(context).current()
