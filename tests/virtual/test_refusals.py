"""What the device cannot carry it refuses by name; nothing is guessed in silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.utils.cpp_extension
from torch import nn

from probes.virtual import Machine, NotCarriedError, virtual_cuda
from probes.virtual.errors import is_outside_the_model


def test_compiling(card: Machine) -> None:
    for call in (lambda: torch.compile(nn.Linear(2, 2)), lambda: nn.Linear(2, 2).compile()):
        with pytest.raises(NotCarriedError, match=r"torch\.compile"):
            call()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_of_cudnn(card: Machine, kind: str) -> None:
    layer = getattr(nn, kind)(4, 4).cuda()
    with pytest.raises(NotCarriedError, match=kind):
        layer(torch.ones(3, 1, 4, device="cuda"))
    host = getattr(nn, kind)(4, 4)
    assert host(torch.ones(3, 1, 4))[0].shape == (3, 1, 4)  # on the host it computes as ever


def test_graphs_and_pools(card: Machine) -> None:
    for call in (lambda: torch.cuda.CUDAGraph(), lambda: torch.cuda.graph(None), lambda: torch.cuda.MemPool()):
        with pytest.raises(NotCarriedError, match=r"torch\.cuda\."):
            call()


def test_process_groups_of_nccl(card: Machine) -> None:
    for backend in ("nccl", "cpu:gloo,cuda:nccl", None):  # None: NCCL where there is a card
        with pytest.raises(NotCarriedError, match="process group"):
            torch.distributed.init_process_group(backend, rank=0, world_size=1, store=torch.distributed.HashStore())
    torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    try:
        value = torch.ones(2)
        torch.distributed.all_reduce(value)
        assert value.tolist() == [1.0, 1.0]
    finally:
        torch.distributed.destroy_process_group()


def test_an_operator_without_shape_rules(card: Machine) -> None:
    @torch.library.custom_op("virtual_test::without_rule", mutates_args=())
    def without_rule(given: torch.Tensor) -> torch.Tensor:
        return given.clone()

    with pytest.raises(NotCarriedError, match=r"virtual_test\.without_rule"):
        without_rule(torch.ones(2, device="cuda"))

    @without_rule.register_fake
    def _(given: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(given)

    assert without_rule(torch.ones(2, device="cuda")).is_cuda  # with a rule it is carried


def test_sizes_nobody_can_know(card: Machine) -> None:
    with pytest.raises(NotCarriedError, match="repeat_interleave"):
        torch.repeat_interleave(torch.ones(3, device="cuda"), torch.randint(0, 3, (3,), device="cuda"))
    with pytest.raises(NotCarriedError, match="bincount"):
        torch.bincount(torch.randint(0, 3, (3,), device="cuda"))
    assert torch.bincount(torch.tensor([1, 2]).cuda()).tolist() == [0, 1, 1]
    flags = torch.rand(10, device="cuda") > 0.5
    assert flags.nonzero().shape == (10, 1)
    assert any("taken at its largest" in sentence for sentence in card.notes.sentences())


def test_extensions_that_want_addresses(card: Machine) -> None:
    tensor = torch.ones(3, device="cuda")
    with pytest.raises(NotCarriedError, match="dlpack"):
        torch.utils.dlpack.to_dlpack(tensor)
    with pytest.raises(NotCarriedError, match="dlpack"):
        tensor.__dlpack__()
    with pytest.raises(NotCarriedError, match="__cuda_array_interface__"):
        _ = tensor.__cuda_array_interface__
    assert not hasattr(torch.ones(1), "__cuda_array_interface__")
    with pytest.raises(NotCarriedError, match="load"):
        torch.utils.cpp_extension.load("extension", ["kernel.cu"])


def test_several_replicas_in_threads(two_cards: Machine) -> None:
    alone = nn.DataParallel(nn.Linear(4, 4).cuda(), device_ids=[0])
    assert alone(torch.ones(4, 4)).is_cuda
    model = nn.DataParallel(nn.Linear(4, 4).cuda())
    with pytest.raises(NotCarriedError, match="DataParallel"):
        model(torch.ones(4, 4, device="cuda"))


def test_kernels_of_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("triton.runtime.jit")
    module.JITFunction = type("JITFunction", (), {"run": lambda self: "ran"})
    monkeypatch.setitem(sys.modules, "triton.runtime.jit", module)
    with virtual_cuda("h100", environ={}), pytest.raises(NotCarriedError, match="Triton"):
        module.JITFunction().run()
    assert module.JITFunction().run() == "ran"


_SCRIPT = """
import sys, torch
from probes.virtual import virtual_cuda
before = "torch._dynamo" in sys.modules
with virtual_cuda("h100", environ={}):
    layer = torch.nn.Linear(2, 2).cuda()
    optimizer = torch.optim.AdamW(layer.parameters())
    from torch.utils.checkpoint import checkpoint
    checkpoint(layer, torch.ones(1, 2, device="cuda"), use_reentrant=False).sum().backward()
    optimizer.step()
    print("stub", type(sys.modules["torch._dynamo"]).__name__)
    %s
    print("real", type(sys.modules["torch._dynamo"]).__name__)
    assert torch.cuda.is_available() and torch.ones(1, device="cuda").is_cuda
    optimizer.step()
print("after", "torch._dynamo" in sys.modules, torch.cuda.is_available())
import torch._dynamo
from torch._dynamo.device_interface import CudaInterface
print("kept", CudaInterface.Event.__module__, CudaInterface.device.__module__)
"""


@pytest.mark.parametrize(
    "ask",
    [
        "import torch._dynamo.eval_frame",
        "torch._dynamo.config.suppress_errors",
    ],
)
def test_whoever_wants_the_compiler_inside_the_block_gets_the_real_one(repo_root: Path, ask: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT % ask], cwd=repo_root, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    words = dict(line.split(" ", 1) for line in result.stdout.splitlines())
    assert words["stub"] == "_StandIn"
    assert words["real"] == "module"
    assert words["after"] == "True False"
    assert "probes" not in words["kept"]


def test_a_block_in_which_nobody_compiles_does_not_load_the_compiler(repo_root: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT.partition("    %s")[0] + "print('torch._dynamo' in sys.modules)"],
        cwd=repo_root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False"


def test_an_error_of_the_user_stays_the_users(card: Machine) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        torch.ones(2, 3, device="cuda") @ torch.ones(2, 3, device="cuda")
    with pytest.raises(RuntimeError, match="broadcast"):
        torch.ones(2, 3, device="cuda") + torch.ones(4, device="cuda")
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.ones(2, device="cuda").sum().backward()
    broken: Callable[..., Any] = lambda: torch.ones(2, device="cuda").view(3)  # noqa: E731
    with pytest.raises(RuntimeError, match="shape '\\[3\\]' is invalid"):
        broken()


def test_a_card_nobody_knows() -> None:
    from ilora_diag.hardware.gpus import UnknownGpu

    with pytest.raises(UnknownGpu), virtual_cuda("h10000"):
        pass
    assert not torch.cuda.is_available() or torch.cuda.device_count() > 0


@pytest.mark.parametrize(
    ("words", "is_outside"),
    [
        ("PyTorch is not linked with support for cuda devices", True),
        ("Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU", True),
        ("No CUDA GPUs are available", True),
        ("Could not run 'aten::x' with arguments from the 'CUDA' backend.", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
        ("CUDA error: device-side assert triggered", False),
    ],
)
def test_words_of_either_build_for_a_card_that_is_not_there(words: str, is_outside: bool) -> None:
    assert is_outside_the_model(RuntimeError(words)) is is_outside
    assert not is_outside_the_model(ValueError(words))
