"""`torch.cuda` answers consistently, as it would on a card."""

from __future__ import annotations

import pytest
import torch

from probes.virtual import Machine, NotCarriedError, virtual_cuda
from probes.virtual.facade import unanswered

MIB = 2**20


def test_there_is_one_card(card: Machine) -> None:
    assert torch.cuda.is_available()
    assert torch.cuda.device_count() == 1
    assert torch.cuda.current_device() == 0
    assert torch.cuda.is_initialized()
    assert torch.cuda.get_device_name() == card.cards[0].spec.nvml_name
    assert torch.cuda.get_device_capability("cuda:0") == (9, 0)
    properties = torch.cuda.get_device_properties(0)
    assert (properties.major, properties.minor) == (9, 0)
    assert properties.total_memory == card.cards[0].total_bytes == torch.cuda.mem_get_info()[1]
    assert properties.warp_size == 32
    assert properties.multi_processor_count == 132
    assert torch.cuda.is_bf16_supported()
    assert torch.backends.cuda.is_built()
    assert torch.version.cuda is not None
    assert "H100" in repr(properties)


def test_an_older_card_says_so() -> None:
    with virtual_cuda("t4", environ={}):
        assert torch.cuda.get_device_capability() == (7, 5)
        assert torch.cuda.is_bf16_supported()
        assert not torch.cuda.is_bf16_supported(including_emulation=False)
        assert not torch.cuda.is_tf32_supported()


def test_a_property_nobody_knows_is_refused_by_name(card: Machine) -> None:
    with pytest.raises(NotCarriedError, match="pci_bus_id"):
        _ = torch.cuda.get_device_properties(0).pci_bus_id
    assert not hasattr(torch.cuda.get_device_properties(0), "__fspath__")


def test_memory_is_counted_in_blocks_and_segments(card: Machine) -> None:
    free, total = torch.cuda.mem_get_info()
    assert free == total - card.cards[0].context_bytes
    small = torch.empty(100, dtype=torch.uint8, device="cuda")
    large = torch.empty(3 * MIB, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_allocated() == 512 + 3 * MIB
    assert torch.cuda.memory_reserved() == 22 * MIB
    assert torch.cuda.mem_get_info()[0] == free - 22 * MIB
    assert torch.cuda.device_memory_used() == total - free + 22 * MIB
    del large
    assert torch.cuda.memory_allocated() == 512
    assert torch.cuda.max_memory_allocated() == 512 + 3 * MIB
    assert torch.cuda.memory_reserved() == 22 * MIB
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() == 2 * MIB
    assert torch.cuda.max_memory_reserved() == 22 * MIB
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() == 512
    assert torch.cuda.max_memory_reserved() == 2 * MIB
    del small
    assert torch.cuda.memory_allocated() == 0


def test_statistics_have_the_keys_of_the_real_ones(card: Machine) -> None:
    kept = torch.empty(10, device="cuda")
    stats = torch.cuda.memory_stats()
    families = ("allocation", "segment", "active", "inactive_split")
    sizes = ("allocated_bytes", "reserved_bytes", "active_bytes", "inactive_split_bytes", "requested_bytes")
    wanted = {
        f"{family}.{pool}.{figure}"
        for family in (*families, *sizes)
        for pool in ("all", "small_pool", "large_pool")
        for figure in ("current", "peak", "allocated", "freed")
    }
    wanted |= {
        f"{family}.{figure}"
        for family in ("oversize_allocations", "oversize_segments")
        for figure in ("current", "peak", "allocated", "freed")
    }
    wanted |= {"num_alloc_retries", "num_ooms", "num_sync_all_streams", "num_device_alloc", "num_device_free"}
    assert wanted <= set(stats)
    assert list(stats) == sorted(stats)
    assert stats["requested_bytes.all.current"] == kept.nbytes
    assert stats["allocated_bytes.all.current"] == torch.cuda.memory_allocated()
    assert torch.cuda.memory_stats_as_nested_dict()["allocated_bytes"]["all"]["current"] == 512
    assert torch.cuda.memory.memory_allocated() == 512
    assert "|===" in torch.cuda.memory_summary()


def test_a_memory_fraction_is_kept_and_checked(card: Machine) -> None:
    assert torch.cuda.memory.get_per_process_memory_fraction() == 1.0
    torch.cuda.set_per_process_memory_fraction(0.01)
    assert torch.cuda.memory.get_per_process_memory_fraction() == 0.01
    with pytest.raises(torch.OutOfMemoryError, match=r"81\d\.\d\d MiB allowed; Of the allocated memory"):
        torch.empty(900 * MIB, dtype=torch.uint8, device="cuda")
    with pytest.raises(TypeError, match="must be `float`"):
        torch.cuda.set_per_process_memory_fraction(1)
    with pytest.raises(ValueError, match="Allowed range: 0~1"):
        torch.cuda.set_per_process_memory_fraction(1.5)


def test_two_cards_are_kept_apart(two_cards: Machine) -> None:
    assert torch.cuda.device_count() == 2
    first = torch.ones(4, device="cuda")
    second = torch.ones(4, device="cuda:1")
    assert (first.device, second.device) == (torch.device("cuda:0"), torch.device("cuda:1"))
    assert (first.get_device(), second.get_device()) == (0, 1)
    assert [torch.cuda.memory_allocated(index) for index in (0, 1)] == [512, 512]
    with torch.cuda.device(1):
        assert torch.cuda.current_device() == 1
        assert torch.ones(1, device="cuda").device.index == 1
    assert torch.cuda.current_device() == 0
    with torch.cuda.device_of(second):
        assert torch.cuda.current_device() == 1
    with torch.cuda.device_of(torch.ones(1)), torch.cuda.device(None), torch.cuda.device(-1):
        assert torch.cuda.current_device() == 0
    torch.cuda.set_device(1)
    assert torch.empty(1, device="cuda").device.index == 1
    torch.cuda.set_device("cuda:0")
    moved = first.to("cuda:1")
    assert moved.device.index == 1
    assert (moved + second).device.index == 1
    assert second.cuda(0).device.index == 0
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cuda:1"):
        first + second
    with pytest.raises(NotCarriedError, match="can_device_access_peer"):
        torch.cuda.can_device_access_peer(0, 1)


def test_mixing_card_and_host_is_the_real_error(card: Machine) -> None:
    mine = torch.ones(2, 2, device="cuda")
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu!"):
        mine + torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="got mat2 is on cpu, different from other tensors on cuda:0"):
        mine @ torch.ones(2, 2)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.nn.functional.embedding(torch.ones(2, dtype=torch.long), mine)
    assert (mine * torch.tensor(2.0)).device.type == "cuda"  # a host scalar is no second device


def test_no_such_card(card: Machine) -> None:
    for call in (
        lambda: torch.empty(1, device="cuda:1"),
        lambda: torch.ones(1).cuda(1),
        lambda: torch.cuda.set_device(1),
    ):
        with pytest.raises(torch.AcceleratorError, match="CUDA error: invalid device ordinal"):
            call()
    with pytest.raises(AssertionError, match="Invalid device id"):
        torch.cuda.get_device_properties(1)
    with pytest.raises(ValueError, match="Expected a cuda device"):
        torch.cuda.memory_allocated("cpu")


def test_streams_have_pools_of_their_own(card: Machine) -> None:
    side = torch.cuda.Stream()
    assert isinstance(side, torch.cuda.Stream)
    assert torch.cuda.current_stream() == torch.cuda.default_stream() != side
    kept = torch.empty(MIB, dtype=torch.uint8, device="cuda")
    with torch.cuda.stream(side):
        assert torch.cuda.current_stream() == side
        other = torch.empty(MIB, dtype=torch.uint8, device="cuda")
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.cuda.memory_reserved() == 4 * MIB  # one small segment for each stream
    other.record_stream(torch.cuda.current_stream())
    with torch.cuda.stream(None):
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
    side.wait_stream(torch.cuda.default_stream())
    side.synchronize()
    torch.cuda.synchronize()
    assert side.query()
    assert kept.nbytes == MIB


def test_events_happen_and_say_whose_clock_they_read(card: Machine) -> None:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    with pytest.raises(ValueError, match="must be recorded"):
        begin.elapsed_time(end)
    begin.record()
    torch.cuda.current_stream().record_event(end)
    torch.cuda.current_stream().wait_event(end)
    assert end.query()
    assert 0 <= begin.elapsed_time(end) < 1000
    assert any("this host's" in sentence for sentence in card.notes.sentences())
    with pytest.raises(ValueError, match="enable_timing=True"):
        torch.cuda.Event().elapsed_time(end)


def test_the_accelerator_interface_answers_the_same(two_cards: Machine) -> None:
    assert torch.accelerator.is_available()
    assert torch.accelerator.current_accelerator() == torch.device("cuda")
    assert torch.accelerator.device_count() == 2
    kept = torch.ones(3, device=torch.accelerator.current_accelerator())
    assert torch.accelerator.memory_allocated() == torch.cuda.memory_allocated() == 512
    assert torch.accelerator.max_memory_reserved(0) == 2 * MIB
    assert torch.accelerator.memory_stats()["allocated_bytes.all.current"] == 512
    torch.accelerator.synchronize()
    assert torch.accelerator.current_stream() == torch.cuda.current_stream()
    torch.accelerator.set_device_index(1)
    assert torch.accelerator.current_device_index() == torch.cuda.current_device() == 1
    with torch.accelerator.device_index(0):
        assert torch.cuda.current_device() == 0
    assert torch.cuda.current_device() == 1
    assert kept.is_cuda


def test_every_public_name_is_answered_or_refused(card: Machine) -> None:
    for module in (torch.cuda, torch.cuda.memory):
        left = {name for name in unanswered(module) if getattr(module, name).__module__.startswith("torch")}
        assert left == set()


@pytest.mark.parametrize("name", ["utilization", "temperature", "CUDAGraph", "MemPool", "host_memory_stats", "cudart"])
def test_what_has_no_answer_is_refused_by_name(card: Machine, name: str) -> None:
    with pytest.raises(NotCarriedError, match=f"torch.cuda.{name}"):
        getattr(torch.cuda, name)()


def test_ranges_for_a_profiler_are_allowed(card: Machine) -> None:
    torch.cuda.nvtx.range_push("step")
    with torch.cuda.nvtx.range("inner"):
        torch.cuda.nvtx.mark("here")
    torch.cuda.nvtx.range_pop()
