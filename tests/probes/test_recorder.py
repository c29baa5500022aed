"""The recorder's books, with an allocator of its own on CPU tensors: their sum and maximum are the allocator's."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ilora_diag.hardware.gpus import find_gpu
from ilora_diag.schema import Category, Estimate, ScriptEnd
from probes.recorder import Books, Reading, recording, why_no_cuda
from probes.run_answer import Run, answer
from probes.run_launch import Ended, Launch
from probes.run_station import Station
from probes.run_stop import Stop

WORKSPACE, SCRATCH = 1 << 20, 3 << 20


class Allocator(TorchDispatchMode):
    """Blocks of 512 bytes for CPU tensors, a workspace at the first product, scratch within every softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.allocated = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in out if isinstance(out, (list, tuple)) else (out,):
            if isinstance(one, Tensor):
                self._take(one.untyped_storage())
        if func._name == "aten::addmm" and -1 not in self.known:
            self.known.add(-1)
            self._add(WORKSPACE)
        if func._name == "aten::_softmax":
            self.peak = max(self.peak, self.allocated + SCRATCH)
        return out

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, -(-storage.nbytes() // 512) * 512
        if key in self.known or not size:
            return
        self.known.add(key)
        self._add(size)
        self.guards = [*getattr(self, "guards", []), weakref.ref(storage, lambda _: self._drop(key, size))]

    def _add(self, size: int) -> None:
        self.allocated += size
        self.peak = max(self.peak, self.allocated)

    def _drop(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.allocated -= size

    def read(self) -> Reading:
        return Reading(self.allocated, 2 * self.peak, self.peak)

    def has(self, tensor: Tensor) -> bool:
        return tensor.device.type == "cpu"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(256, 1024), nn.Linear(1024, 256)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.softmax(self.second(torch.relu(self.first(inputs))), -1)


def trained(steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    for _ in range(steps):
        model(torch.ones(64, 256)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


Recorded = tuple[Allocator, Books, tuple[nn.Module, torch.optim.Optimizer]]


@pytest.fixture
def recorded() -> Recorded:
    allocator = Allocator()
    with allocator:
        books = Books(allocator)
        with recording(books):
            trained_here = trained()
    return allocator, books, trained_here


def test_the_sum_and_the_maximum_are_those_of_the_allocator(recorded: Recorded) -> None:
    allocator, books, _ = recorded
    assert books.ledger.allocated[-1] == allocator.allocated
    assert max(books.ledger.allocated) == allocator.peak
    assert max(books.ledger.reserved) <= 2 * allocator.peak
    assert all(level >= 0 for level in books.ledger.allocated)


def test_the_workspace_and_the_scratch_are_seen_without_a_storage(recorded: Recorded) -> None:
    _, books, _ = recorded
    ledger = books.ledger
    by_op = {ledger.ops[number]: number for number in range(1, len(ledger.sizes))}
    assert ledger.sizes[by_op["cublas workspace"]] == WORKSPACE
    assert ledger.category(by_op["cublas workspace"]) is Category.WORKSPACE
    scratch = by_op["aten::_softmax (scratch)"]
    assert ledger.sizes[scratch] == SCRATCH
    assert ledger.modules[scratch] == ""
    assert ledger.freed_in[scratch] is not None


def test_blocks_have_their_modules_phases_and_categories(recorded: Recorded) -> None:
    _, books, (model, _) = recorded
    ledger = books.ledger
    live = ledger.live_at(len(ledger.events))
    held = {(ledger.modules[number], ledger.category(number)) for number in live}
    assert {("first", Category.PARAMETER), ("second", Category.OPTIMIZER_STATE)} <= held
    made_in = {ledger.phases[number] for number in range(1, len(ledger.sizes))}
    assert {"load", "forward", "backward", "optimizer"} <= made_in
    gradients = [n for n in range(1, len(ledger.sizes)) if ledger.category(n) is Category.GRADIENT]
    assert {ledger.modules[n] for n in gradients} == {"first", "second"}
    assert sum(p.numel() for p in model.parameters()) * 4 <= sum(
        ledger.block_sizes[n] for n in live if ledger.category(n) is Category.PARAMETER
    )


def test_what_goes_away_unseen_is_taken_off_again() -> None:
    allocator = Allocator()
    with allocator:
        books = Books(allocator)
        with recording(books):
            kept = torch.ones(1000)
            allocator._add(5000)
            kept = kept + 1
            assert books.unseen
            allocator.allocated -= 5000
            kept = kept + 1
    assert not books.unseen
    assert books.ledger.allocated[-1] == allocator.allocated


def test_a_refusal_keeps_what_its_message_says() -> None:
    class Full(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._name == "aten::mm":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total")
            return func(*args, **(kwargs or {}))

    allocator = Allocator()
    with Full(), allocator:
        books = Books(allocator)
        with recording(books), pytest.raises(torch.OutOfMemoryError):
            torch.ones(2, 2) @ torch.ones(2, 2)
    assert [(one.op, one.size) for one in books.refused] == [("aten::mm", 3 << 29)]


def test_everything_is_as_before_afterwards() -> None:
    backward = torch.autograd.backward
    with pytest.raises(ValueError, match="broken"), recording(Books(Allocator())):
        raise ValueError("broken")
    assert torch.autograd.backward is backward


def test_the_answer_is_made_of_it_like_any_other(recorded: Recorded) -> None:
    allocator, books, _ = recorded
    station = Station(
        device="cuda",
        spec=find_gpu("t4"),
        is_real=True,
        torch_version="2.13.0",
        ledger=books.ledger,
        watch=books.watch,
        notes=books.notes,
        attention=books.attention,
        refused=books.refused,
        num_alloc_retries=lambda: 0,
    )
    launch = Launch(script="train.py", is_module=False, args=())
    stop = Stop(max_steps=None, stand=station.stand, end_now=lambda: None, steps=2)
    run = answer(Run(station=station, launch=launch, ended=Ended(exit_code=0), stop=stop, begin=0.0))
    assert run.end is ScriptEnd.FINISHED
    assert isinstance(run.estimate, Estimate)
    assert run.estimate.peak.allocated_bytes == allocator.peak
    assert run.estimate.fits is True
    assert run.estimate.interval.low_bytes == run.estimate.interval.high_bytes


@pytest.mark.skipif(torch.version.cuda is not None, reason="says what a build without CUDA is told")
def test_without_cuda_it_says_why() -> None:
    assert "without CUDA" in why_no_cuda()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_card_the_books_agree_with_the_allocator() -> None:
    from probes.recorder import recorded_cuda

    torch.cuda.reset_peak_memory_stats()
    with recorded_cuda() as station:
        model = Net().cuda()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(3):
            model(torch.ones(64, 256, device="cuda")).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        peak = torch.cuda.max_memory_allocated()
    assert max(station.ledger.allocated) == peak
    assert station.ledger.reserved[-1] == torch.cuda.memory_reserved()
