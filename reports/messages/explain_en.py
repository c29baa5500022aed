"""What `ilora-diag explain` says, in English."""

from __future__ import annotations

MESSAGES = {
    "explain.title": "explain: {headline}",
    "explain.headline": "{cause} ({confidence})",
    "explain.headline.nothing": "nothing in this text is known to be an error",
    "explain.headline.unread": "nothing could be said",
    "explain.headline.unexplained": "an error whose text is not known here: {exception}",
    "explain.confidence.confirmed": "confirmed",
    "explain.confidence.strongly_suggested": "strongly suggested",
    "explain.confidence.hypothesis": "a hypothesis",
    "explain.confidence.unknown": "undecided",
    "explain.unread.empty": "The text is empty.",
    "explain.unread.garbage": "This is no text: {size} of bytes in which no known message stands.",
    "explain.unread.unknown": "No known message stands in it. Paste the whole log, from its first error on.",
    "explain.clean": "{lines} lines were read; none is a known error.",
    "explain.stop": ".",
    "explain.remedy": "Do this: ",
    "explain.decide": "To be sure: ",
    "explain.decide.fact": "{command} (reads {fact})",
    "explain.section.text": "What the text says",
    "explain.section.memory": "The memory, as the message counts it",
    "explain.section.causes": "Causes, ranked",
    "explain.section.others": "Also found",
    "explain.section.signatures": "Known messages in this text, in order",
    "explain.text.exception": "Exception: ",
    "explain.text.where": "line {line}, written by: {layer}",
    "explain.text.sticky.yes": "The CUDA context is lost: only a new process helps.",
    "explain.text.sticky.no": "The CUDA context survives: the call failed and nothing was launched.",
    "explain.text.sticky.depends": (
        "Whether the CUDA context survives depends: if torch.cuda.synchronize() fails again, it is lost."
    ),
    "explain.text.unverified": "The text or the causes of this message are not confirmed by a source.",
    "explain.text.codes": "Codes: ",
    "explain.state.confirmed": "confirmed",
    "explain.state.suggested": "suggested",
    "explain.state.open": "open",
    "explain.state.refuted": "refuted",
    "explain.column.state": "state",
    "explain.column.cause": "cause",
    "explain.column.because": "because, or to be decided by",
    "explain.column.line": "line",
    "explain.column.count": "times",
    "explain.column.message": "message",
    "explain.column.note": "note",
    "explain.column.what": "what",
    "explain.column.size": "size",
    "explain.note.follows": "follows from an earlier fault",
    "explain.note.leads": "leads",
    "explain.note.generic": "general",
    "explain.oom.requested_bytes": "requested",
    "explain.oom.capacity_bytes": "capacity of the card",
    "explain.oom.free_bytes": "free",
    "explain.oom.this_process_bytes": "this process, all of it",
    "explain.oom.allocated_bytes": "live tensors",
    "explain.oom.private_pool_bytes": "of them in private pools",
    "explain.oom.unallocated_bytes": "reserved, not allocated",
    "explain.oom.limit_bytes": "limit of this process",
    "explain.oom.non_torch_bytes": "outside PyTorch",
    "explain.oom.process": "process {pid}",
    "explain.oom.unknown": "not known ({reason})",
    "explain.cause.live_tensors": "Live tensors fill the card.",
    "explain.cause.fragmentation": "Enough is free and reserved together, but not in one piece.",
    "explain.cause.other_process": "Others hold the memory that was missing.",
    "explain.cause.capacity_smaller": "The card, or the part of it that was given, is too small for this request.",
    "explain.cause.limit_set": "A limit set for this process was reached, not the end of the card.",
    "explain.cause.unknown": "The numbers do not tell what holds the memory.",
    "explain.oom.fits": "A request of up to {fits} would have been granted; {missing} were missing.",
    "explain.oom.fits.unknown": "What would have been granted is not known: {reason}.",
    "explain.advice.offered": (
        "The message advises {advice}: this machine offers it, and the numbers say it can help."
    ),
    "explain.advice.open": (
        "The message advises {advice}: it can help by the numbers, but where virtual memory management is refused "
        "(virtual GPUs, WSL, Jetson) it turns this error into another. Check first: ilora-diag env-check --deep"
    ),
    "explain.advice.not_offered": (
        "The message advises {advice}: do not follow it. This card offers no virtual memory management; the setting "
        "would end in CUDA driver error: operation not supported."
    ),
    "explain.advice.vgpu": (
        "The message advises {advice}: do not follow it. This is a virtual GPU, where it usually ends in CUDA driver "
        "error: operation not supported."
    ),
    "explain.advice.tegra": (
        "The message advises {advice}: do not follow it. On a Jetson it fails although memory is free."
    ),
    "explain.advice.sandbox": (
        "The message advises {advice}: do not follow it. WSL and gVisor refuse parts of what it needs."
    ),
    "explain.advice.not_built": "The message advises {advice}: this build takes no notice of it.",
    "explain.advice.too_old": (
        "The message advises {advice}: this torch does not know the setting and would refuse to start."
    ),
    "explain.advice.already_on": "The message advises {advice}: it is on already. The message says so even then.",
    "explain.advice.no_gain": (
        "The message advises {advice}: it would not have helped. Free and unallocated memory together are less than "
        "the request."
    ),
    "explain.advice.max_split": (
        "The message advises max_split_size_mb: it can help where large blocks are split; try 128."
    ),
    "explain.advice.mps_watermark": "The message advises {advice}: without the limit the whole system may freeze.",
    "explain.advice.other": "The message advises {advice}: it releases only what is cached and not in use.",
    "explain.advice.none": "",
    "explain.source": "{lines} lines, {size}; SHA-256 {digest}; facts: {facts}",
    "explain.facts.none": "none (give them with --facts FILE, written by ilora-diag env-check --save-facts FILE)",
    "explain.facts.given": "SHA-256 {digest}",
    "explain.page.kind.signature": "a known message",
    "explain.page.kind.finding": "a finding",
    "explain.page.kind.code": "an error code",
    "explain.page.layer": "Written by: {layer}",
    "explain.page.group": "Group: {group}",
    "explain.page.since": "Since torch {since}",
    "explain.page.category": "Category: {category}",
    "explain.page.sample": "It looks like this",
    "explain.page.causes": "What causes it, the most likely first",
    "explain.page.fix": "What to do",
    "explain.page.source": "Sources: {source}",
    "explain.page.related": "See also",
    "explain.page.confirm": "confirmed by",
    "explain.page.refute": "refuted by",
    "explain.page.decide": "or decided by",
    "explain.list.title": "What ilora-diag explain has a page for",
    "explain.list.hint": (
        'ilora-diag explain CODE prints a page; codes of CUDA, NVML and Xid too (801, cudaErrorNotSupported, "Xid 79").'
    ),
    "explain.list.finding": "Findings",
    "explain.list.signature": "Messages",
}
