"""English, of recorded memory snapshots."""

from __future__ import annotations

MESSAGES = {
    # the first line
    "snapshot.headline": "Peak of device {device}: {allocated} allocated ({reserved} reserved). Largest part: "
    "{part}, "
    "{size} ({share}).",
    "snapshot.headline.before": "Peak of device {device}: {allocated} allocated ({reserved} reserved). {share} of it "
    "({size}) was there before the first recorded event; largest part made since: {part}, {part_size} "
    "({part_share}).",
    "snapshot.headline.state": "Device {device} held {allocated} allocated ({reserved} reserved); the file has no "
    "events to tell its course. {unknown} of it has no stack; largest part with one: {part}, {size} ({share}).",
    "snapshot.headline.state.told": "Device {device} held {allocated} allocated ({reserved} reserved); the file has no "
    "events to tell its course. Largest part: {part}, {size} ({share}).",
    "snapshot.headline.plain": "Device {device} held {allocated} allocated ({reserved} reserved); the file does not "
    "tell what for.",
    "snapshot.headline.empty": "The snapshot holds no memory and no events.",
    "snapshot.headline.oom": "Out of memory on device {device}: {requested} did not fit while {allocated} were "
    "allocated ({reserved} reserved). Largest holder: {part}, {size} ({share}).",
    "snapshot.device": "Device {index}",
    # moments
    "snapshot.moments.title": "State of the allocator",
    "snapshot.quantity.requested": "requested",
    "snapshot.quantity.internal": "lost inside blocks (rounding, rests)",
    "snapshot.quantity.allocated": "allocated",
    "snapshot.quantity.reserved": "reserved",
    "snapshot.quantity.external": "reserved and free",
    "snapshot.quantity.split": "of it in segments in use",
    "snapshot.quantity.largest": "largest free block",
    "snapshot.moment.before": "before",
    "snapshot.moment.peak": "peak",
    "snapshot.moment.end": "end",
    "snapshot.moment.only": "at the snapshot",
    "snapshot.moment.events": "Recorded events: {num}. Allocated bytes peak after event {event}.",
    "snapshot.moment.first": "-1 (before the first)",
    "snapshot.moment.reserved": "Reserved bytes peak at {size}, after event {event}.",
    # what to know about the recording
    "snapshot.note.dropped": "Dropped events: {reason}.",
    "snapshot.note.dropped.none": "Dropped events: nothing points to any.",
    "snapshot.note.without_stack": "{num} of {total} allocations have no stack: C++ frames were not recorded, and "
    "autograd's own threads have no Python frames.",
    "snapshot.note.rest": "By the allocator's rules {size} more were allocated at the peak: rests behind blocks that "
    "the recording only shows being freed. The file does not hold their size, so they are not counted here.",
    "snapshot.note.unmatched": "{num} events contradict each other or the final state; sizes are uncertain by what "
    "they concern.",
    "snapshot.note.settings": "Allocator settings: {settings}.",
    "snapshot.note.unread": "Parts of the file unknown to this version were not read: {keys}.",
    "snapshot.note.figure": "figure: {path}",
    "snapshot.note.reading": "reading {file}: {percent} % of {size}",
    # the peak
    "snapshot.peak.title": "What the peak consists of",
    "snapshot.peak.title.state": "What it consists of",
    "snapshot.column.site": "Allocated by (first frame outside PyTorch)",
    "snapshot.column.op": "Operator or function",
    "snapshot.column.size": "Size",
    "snapshot.column.share": "Share",
    "snapshot.column.blocks": "Blocks",
    "snapshot.part.before": "allocated before the first event",
    "snapshot.part.no_stack": "no stack recorded",
    "snapshot.part.rest": "the other {num}",
    "snapshot.part.total": "all",
    "snapshot.frames": "Stack of {site}:",
    "snapshot.before.title": "Of that, allocated before the first event",
    "snapshot.before.unknown": "Blocks that were there before the first event and freed later, and those "
    "allocated while recording was "
    "off, have no stack.",
    # growth
    "snapshot.growth.title": "Growth from step to step",
    "snapshot.growth.annotation": "Steps found: {num}, by the marks that the optimizer left in the recording.",
    "snapshot.growth.optimizer": "Steps found: {num}, by the optimizer's frames in the stacks.",
    "snapshot.growth.repeat": "Repetitions found: {num}; the stack of the first allocation comes again at even "
    "distances.",
    "snapshot.growth.thirds": "No steps are recognisable; the window was cut into thirds.",
    "snapshot.growth.none": "No line of the program leaves blocks behind in every step.",
    "snapshot.growth.none.thirds": "No line of the program leaves blocks behind steadily.",
    "snapshot.growth.unknown": "Whether anything grows cannot be told: {reason}.",
    "snapshot.growth.suspects": "Blocks of these lines stay, step after step: a leak, or a cache that is meant "
    "to grow.",
    "snapshot.growth.suspects.inferred": "Blocks of these lines come steadily and stay. Activations of a forward pass "
    "under way look the same: record three optimizer steps or more to tell them from a leak.",
    "snapshot.growth.ends": "Allocated at the end of each: {sizes}.",
    "snapshot.column.per_step": "Blocks that stay, by step",
    # failures
    "snapshot.oom.title": "Out of memory, event {event}",
    "snapshot.oom.asked": "Asked for {requested}. The device had {free} free; the allocator held {reserved}, "
    "of which "
    "{unallocated} were not allocated (largest free block {largest}).",
    "snapshot.oom.fragmentation": "Fragmentation: the reserved free bytes would have sufficed in one piece. Do: set "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True.",
    "snapshot.oom.full": "The memory was full: all free bytes together would not have sufficed.",
    "snapshot.oom.limit": "The device had enough free memory. A limit on the process stopped it "
    "(set_per_process_memory_fraction, or per_process_memory_fraction in PYTORCH_CUDA_ALLOC_CONF).",
    "snapshot.oom.unknown": "Why it failed cannot be told: {reason}.",
    "snapshot.oom.missing": "Missing were {size}. The largest holders that together have as much: {parts}.",
    "snapshot.oom.missing.none": "Missing were {size}, more than everything allocated.",
    "snapshot.oom.part": "{site} ({size})",
    # figure
    "snapshot.timeline.title": "Allocated memory over the recorded events, device {device}",
    "snapshot.timeline.axis": "event",
    "snapshot.timeline.other": "others",
    "snapshot.timeline.reserved": "reserved",
    "snapshot.timeline.peak": "peak {size}",
}
