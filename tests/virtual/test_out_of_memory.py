"""A full card raises what a real one raises, and can be used again afterwards."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch

from ilora_diag.memory.settings import SettingsError
from probes.virtual import Machine, virtual_cuda

MIB, GIB = 2**20, 2**30
EXPANDABLE = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


def test_the_words_and_numbers_of_the_error() -> None:
    with virtual_cuda("t4", torch_version="2.13.0", environ={}) as machine:
        context = machine.cards[0].context_bytes
        kept = torch.empty(3 * GIB, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError) as caught:
            torch.empty(64 * GIB, dtype=torch.uint8, device="cuda")
        total = machine.cards[0].total_bytes
        free = total - context - 3 * GIB
        text = str(caught.value)
        assert text.startswith("CUDA out of memory. Tried to allocate 64.00 GiB. GPU 0 has a total capacity of ")
        assert f"{total / GIB:.2f} GiB of which {free / GIB:.2f} GiB is free." in text
        assert f"this process has {(context + 3 * GIB) / GIB:.2f} GiB memory in use." in text
        assert "Of the allocated memory 3.00 GiB is allocated by PyTorch, and 0 bytes is reserved" in text
        assert kept.nbytes == 3 * GIB
        assert torch.cuda.memory_stats()["num_ooms"] == 1
        assert isinstance(caught.value, RuntimeError)


def test_training_goes_on_after_a_caught_error(
    tiny: Callable[..., torch.nn.Module], train: Callable[..., object]
) -> None:
    with virtual_cuda("t4", memory=2 * GIB, environ={}):
        model = tiny().cuda()
        optimizer = torch.optim.AdamW(model.parameters())
        train(model, optimizer, 1)
        allocated = torch.cuda.memory_allocated()
        try:
            model(torch.zeros(4096, 4096, dtype=torch.long, device="cuda"))
        except torch.cuda.OutOfMemoryError:
            pass
        else:
            pytest.fail("the batch should not have fitted")
        gc.collect()
        assert torch.cuda.memory_allocated() == allocated
        torch.cuda.empty_cache()
        train(model, optimizer, 2)


def test_a_model_too_large_to_load_is_an_error_of_memory_not_a_crash() -> None:
    with virtual_cuda("t4", memory=GIB, environ={}):
        with pytest.raises(torch.OutOfMemoryError):
            torch.nn.Linear(20_000, 20_000, device="cuda")
        assert torch.cuda.memory_allocated() == 0


def test_memory_other_processes_hold_is_not_there() -> None:
    with virtual_cuda("t4", other_bytes=4 * GIB, environ={}) as machine:
        free, total = torch.cuda.mem_get_info()
        assert free == total - machine.cards[0].context_bytes - 4 * GIB
        with pytest.raises(torch.OutOfMemoryError, match=f"of which {free / GIB:.2f} GiB is free"):
            torch.empty(12 * GIB, dtype=torch.uint8, device="cuda")


def test_expandable_segments_need_a_driver_that_has_them() -> None:
    with virtual_cuda("a100-80gb", vmm=False, environ=EXPANDABLE):
        assert torch.cuda.is_available()  # as on such machines: everything looks well until the first allocation
        with pytest.raises(RuntimeError, match="CUDA driver error: operation not supported"):
            torch.empty(1, device="cuda")
    with virtual_cuda("a100-80gb", vmm=True, environ=EXPANDABLE):
        kept = torch.empty(40 * MIB, dtype=torch.uint8, device="cuda")
        assert torch.cuda.memory_reserved() == 40 * MIB
        assert kept.is_cuda
    with virtual_cuda("a100-80gb", vmm=False, environ={}):
        assert torch.empty(1, device="cuda").is_cuda


def test_settings_are_read_from_the_environment_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    with (
        virtual_cuda("a100-80gb", vmm=False),
        pytest.raises(RuntimeError, match="CUDA driver error: operation not supported"),
    ):
        torch.empty(1, device="cuda")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:perhaps")
    with pytest.raises(SettingsError), virtual_cuda("a100-80gb"):
        pass


def test_settings_can_be_changed_while_running(card: Machine) -> None:
    torch.cuda.memory._set_allocator_settings("expandable_segments:True")
    kept = torch.empty(40 * MIB, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_reserved() == 40 * MIB
    assert kept.is_cuda


def test_a_size_no_card_has(card: Machine) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    with pytest.raises(RuntimeError, match="negative dimension"):
        torch.empty(-1, device="cuda")
