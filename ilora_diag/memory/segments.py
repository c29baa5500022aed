"""Segments in the snapshot's form: out of the model, and into it at their real addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ilora_diag.memory.blocks import Block, Pool
from ilora_diag.memory.core import AllocatorCore
from ilora_diag.memory.expandable import ExpandableSegment, page_bytes

FREE, PENDING, ALLOCATED = "inactive", "active_pending_free", "active_allocated"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """A block of a segment. `state` is the snapshot's: active_allocated, active_pending_free, inactive."""

    address: int
    size: int
    requested_size: int
    state: str
    context: object = None

    def to_dict(self) -> dict[str, Any]:
        """The block as a snapshot has it."""
        return {
            "address": self.address,
            "size": self.size,
            "requested_size": self.requested_size,
            "state": self.state,
            "frames": [],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment, or one mapped stretch of a growing one. `segment_type` is "small" or "large"."""

    device: int
    address: int
    total_size: int
    stream: int
    segment_type: str
    is_expandable: bool
    blocks: tuple[BlockView, ...]

    @property
    def allocated_size(self) -> int:
        """Bytes of the blocks in use."""
        return sum(block.size for block in self.blocks if block.state == ALLOCATED)

    @property
    def active_size(self) -> int:
        """Bytes of the blocks in use or waiting for another stream."""
        return sum(block.size for block in self.blocks if block.state != FREE)

    @property
    def requested_size(self) -> int:
        """Bytes asked for by those."""
        return sum(block.requested_size for block in self.blocks if block.state != FREE)

    def to_dict(self) -> dict[str, Any]:
        """The segment as a snapshot has it."""
        return {
            "device": self.device,
            "address": self.address,
            "total_size": self.total_size,
            "allocated_size": self.allocated_size,
            "active_size": self.active_size,
            "requested_size": self.requested_size,
            "stream": self.stream,
            "segment_type": self.segment_type,
            "segment_pool_id": (0, 0),
            "is_expandable": self.is_expandable,
            "frames": [],
            "blocks": [block.to_dict() for block in self.blocks],
        }


def all_blocks(core: AllocatorCore) -> list[Block]:
    """Every block with memory behind it: free, in use, waiting."""
    return [*core.small.blocks(), *core.large.blocks(), *core.active_blocks.values(), *core.pending_blocks.values()]


def segment_views(core: AllocatorCore, device: int) -> tuple[SegmentView, ...]:
    """Every segment by address, with its blocks in order."""
    views = []
    for head in all_blocks(core):
        if head.prev is not None and head.prev.mapped:
            continue
        blocks = []
        block: Block | None = head
        while block is not None and block.mapped:
            state = ALLOCATED if block.allocated else PENDING if block.pending else FREE
            blocks.append(
                BlockView(
                    address=block.address,
                    size=block.size,
                    requested_size=block.requested,
                    state=state,
                    context=block.context,
                )
            )
            block = block.next
        views.append(
            SegmentView(
                device=device,
                address=head.address,
                total_size=sum(view.size for view in blocks),
                stream=head.stream,
                segment_type="small" if head.pool.is_small else "large",
                is_expandable=head.reservation is not None,
                blocks=tuple(blocks),
            )
        )
    return tuple(sorted(views, key=lambda view: view.address))


def adopt_segments(core: AllocatorCore, segments: Iterable[Mapping[str, Any]]) -> dict[int, Block]:
    """Build the blocks a snapshot's segments describe; those in use or waiting, by address."""
    taken: dict[int, Block] = {}
    growing: list[Mapping[str, Any]] = []
    for segment in segments:
        if segment.get("is_expandable"):
            growing.append(segment)
            continue
        pool = core.small if segment["segment_type"] == "small" else core.large
        blocks = _chain(core, pool, segment, None)
        core.driver.held_bytes += segment["total_size"]
        core.driver.skip_addresses(segment["address"] + segment["total_size"])
        core.count_reserved(pool, segment["total_size"], num_segments=1)
        taken |= _settle(core, pool, blocks)
    for pool, stream, parts in _by_range(core, growing):
        taken |= _adopt_growing(core, pool, stream, parts)
    return taken


def _chain(
    core: AllocatorCore, pool: Pool, segment: Mapping[str, Any], reservation: ExpandableSegment | None
) -> list[Block]:
    """The blocks of a segment, linked."""
    blocks: list[Block] = []
    address = segment["address"]
    for stored in segment["blocks"]:
        block = Block(address, stored["size"], segment["stream"], pool, reservation)
        block.allocated = stored["state"] == ALLOCATED
        block.pending = not block.allocated and stored["state"] != FREE
        block.requested = stored.get("requested_size", 0 if block.is_available else stored["size"])
        block.splice(blocks[-1] if blocks else None, None)
        blocks.append(block)
        address += stored["size"]
    if address != segment["address"] + segment["total_size"]:
        raise ValueError(f"the blocks of the segment at {segment['address']:#x} do not add up to its size")
    return blocks


def _settle(core: AllocatorCore, pool: Pool, blocks: list[Block]) -> dict[int, Block]:
    """Put linked blocks into their lists and count them."""
    taken = {}
    for block in blocks:
        if block.is_available:
            pool.insert(block)
        else:
            (core.active_blocks if block.allocated else core.pending_blocks)[block.address] = block
            taken[block.address] = block
        for stats in (core.all_stats, pool.stats):
            if block.allocated:
                stats.allocation.add(1)
                stats.allocated_bytes.add(block.size)
            if not block.is_available:
                stats.active.add(1)
                stats.active_bytes.add(block.size)
                stats.requested_bytes.add(block.requested)
            elif block.is_split and block.reservation is None:
                stats.inactive_split.add(1)
                stats.inactive_split_bytes.add(block.size)
    return taken


def _by_range(
    core: AllocatorCore, segments: list[Mapping[str, Any]]
) -> Iterable[tuple[Pool, int, list[Mapping[str, Any]]]]:
    """The mapped stretches of each growing segment: those of one pool and stream, by address."""
    groups: dict[tuple[bool, int], list[Mapping[str, Any]]] = {}
    for segment in segments:
        groups.setdefault((segment["segment_type"] == "small", segment["stream"]), []).append(segment)
    for (is_small, stream), parts in groups.items():
        yield core.small if is_small else core.large, stream, sorted(parts, key=lambda part: int(part["address"]))


def _adopt_growing(core: AllocatorCore, pool: Pool, stream: int, parts: list[Mapping[str, Any]]) -> dict[int, Block]:
    """One growing segment from its mapped stretches: its start is taken to be the lowest mapped address."""
    page = page_bytes(core, pool)
    start = parts[0]["address"]
    end = parts[-1]["address"] + parts[-1]["total_size"]
    total = core.total_bytes or core.driver.capacity_bytes or 0
    size = -(-max(total + total // 8, end - start) // page) * page
    reservation = ExpandableSegment(start, size, page)
    blocks: list[Block] = []
    unmapped: list[Block] = []
    for part, following in zip(parts, [*(part["address"] for part in parts[1:]), start + size], strict=True):
        chain = _chain(core, pool, part, reservation)
        chain[0].splice(blocks[-1] if blocks else None, chain[0].next)
        blocks += chain
        gap = following - part["address"] - part["total_size"]
        if gap:
            hole = Block(part["address"] + part["total_size"], gap, stream, pool, reservation)
            hole.mapped = False
            hole.splice(blocks[-1], None)
            unmapped.append(hole)
            blocks.append(hole)
        core.driver.held_bytes += part["total_size"]
        core.count_reserved(pool, part["total_size"], num_segments=0)
    core.driver.skip_addresses(start + size)
    for hole in unmapped:
        pool.insert_unmapped(hole)
    return _settle(core, pool, [block for block in blocks if block.mapped])
