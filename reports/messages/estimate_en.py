"""English, of memory estimates."""

from __future__ import annotations

MESSAGES = {
    "estimate.title": "Memory estimate: {subject} on {cards}",
    "estimate.subject.step": "{name} step",
    "estimate.subject.rec": "recommender step",
    "estimate.subject.any": "training step",
    "estimate.place": "step {step}, {phase}",
    "estimate.place.before": "{phase}, before the first step",
    "estimate.place.evaluation": "the evaluation after training ({phase})",
    "estimate.span": "{low} to {high}",
    "estimate.with_span": "{value} ({span})",
    # the first line
    "estimate.headline": "{subject}: {used} of card memory at its peak on {gpu} "
    "({allocated} allocated, {reserved} reserved, + {outside} {what}); {verdict}.",
    "estimate.headline.oom": "{subject}: does not fit {gpu} with {memory}: out of memory in {place}, in {module}, "
    "asking for {requested} with {allocated} allocated.",
    "estimate.outside.context": "CUDA context",
    "estimate.outside.others": "CUDA context and other processes",
    "estimate.verdict.fits": "fits, at least {spare} to spare",
    "estimate.verdict.exceeds": "does not fit, at least {missing} too much",
    "estimate.verdict.no": "does not fit",
    "estimate.verdict.close": "too close to say whether it fits",
    "estimate.cards.yes": "Fits {cards}.",
    "estimate.cards.close": "Too close to say on {cards}.",
    "estimate.cards.no": "Does not fit {cards}.",
    # cards
    "estimate.column.card": "Card",
    "estimate.column.name": "Name",
    "estimate.column.capability": "Compute capability",
    "estimate.column.memory": "Memory",
    "estimate.column.allocated": "Allocated",
    "estimate.column.reserved": "Reserved",
    "estimate.column.used": "Card memory used",
    "estimate.column.fits": "Fits",
    "estimate.column.batch": "Largest batch",
    "estimate.column.attention": "Attention",
    "estimate.fits.yes": "yes",
    "estimate.fits.no": "no",
    "estimate.fits.oom": "no: OOM in {phase}",
    "estimate.fits.close": "too close to say",
    "estimate.batch.none": "not even 1",
    "estimate.not_known": "unknown",
    "estimate.note.fits": "{cards}: too close to say whether it fits: {reason}",
    "estimate.note.batch": "{cards}: largest batch unknown: {reason}",
    "estimate.note.attention": "{cards}: attention backend unknown: {reason}",
    "estimate.note.retries": "{cards}: to go on, the allocator had to give cached segments back to the driver, "
    "which costs a synchronisation each time (num_alloc_retries: {num})",
    "estimate.oom.where": "{card}: out of memory in {place}, module {module}, op {op}, asking for {requested}:",
    # the evaluation
    "estimate.evaluation.most": "The evaluation after training needs most: with {phase} {reserved} "
    "are reserved, the training step reserves {training}. {lowers}",
    "estimate.evaluation.oom": "Training fits and reserves {training}; memory runs "
    "out in the evaluation after it ({phase}). {lowers}",
    "estimate.evaluation.lower.baseline": "The recommender ranks 1,024 users at once over "
    "the whole catalogue; no setting lowers that.",
    "estimate.evaluation.lower.scoring": "Fewer data.num_candidates, a shorter "
    "data.max_seq_len or eval.scoring=false lower it.",
    "estimate.evaluation.lower.generation": "A smaller eval.batch_size lowers it, then eval.max_new_tokens.",
    "estimate.evaluation.lower.ranking": "A smaller eval.batch_size lowers it.",
    "estimate.evaluation.lower.export": "A smaller eval.batch_size lowers it.",
    # the peak
    "estimate.peak.title": "What the peak consists of",
    "estimate.peak.where": "Allocated at the peak on {gpu}: {allocated}, reached in {place}.",
    "estimate.peak.plain": "Allocated at the peak on {gpu}: {allocated}.",
    "estimate.peak.oom": "Memory ran out on {gpu} in {place}. "
    "This is the most that was allocated until then ({allocated}), not what the step would need.",
    "estimate.column.category": "Category",
    "estimate.column.size": "Size",
    "estimate.column.share": "Share",
    "estimate.column.module": "Module",
    "estimate.column.num_modules": "Modules",
    "estimate.column.op": "Op",
    "estimate.category.parameter": "parameters",
    "estimate.category.gradient": "gradients",
    "estimate.category.optimizer_state": "optimizer states",
    "estimate.category.activation": "activations",
    "estimate.category.buffer": "buffers",
    "estimate.category.input": "inputs",
    "estimate.category.temporary": "temporaries",
    "estimate.category.workspace": "workspaces",
    "estimate.category.unknown": "unattributed",
    "estimate.module.prefix": " stands for ",
    "estimate.module.root": "(the model itself)",
    "estimate.module.itself": " (without what is below)",
    "estimate.other": "other ({num})",
    "estimate.total": "total",
    "estimate.ops": "By operator: {num} of {total}",
    # phases
    "estimate.phases.title": "Peaks by phase",
    "estimate.phases.peak": "The peak is reached in {place}.",
    "estimate.phases.none": "No phase was traced.",
    "estimate.phases.here": "peak of {what}",
    "estimate.phases.before": "before 1",
    "estimate.phases.after": "after",
    # knobs
    "estimate.knobs.title": "What a change would buy",
    "estimate.knobs.of_run": "Of training and the evaluation after it, which "
    "needs most; as configured {reserved} are reserved:",
    "estimate.knobs.of_step": "Of the training step alone, without the "
    "evaluation; as configured it reserves {reserved}:",
    "estimate.knobs.best": "buys most: {saved} of reserved memory ({percent}).",
    "estimate.knobs.useless": "None of these changes lowers reserved memory.",
    "estimate.knobs.none": "No change was computed.",
    "estimate.knobs.oom": "As configured the step runs out of memory on {gpu}; what it would reserve there is not "
    "known, so no difference can be told.",
    "estimate.knobs.not_computed": "{cost} (not computed: {reason})",
    "estimate.column.change": "Change",
    "estimate.column.new_reserved": "Peak reserved",
    "estimate.column.difference": "Difference",
    "estimate.column.cost": "What it costs",
    # the chain
    "estimate.chain.title": "From the request to the card",
    "estimate.column.step": "Part",
    "estimate.column.subtotal": "Up to here",
    "estimate.gap.requested": "requested by the code",
    "estimate.gap.rounding": "rounding up to the allocator's block sizes",
    "estimate.gap.cached": "cached: free parts of segments held for later",
    "estimate.gap.context": "CUDA context and libraries, outside the allocator",
    "estimate.gap.other_processes": "other processes on the card",
    "estimate.level.requested": "requested",
    "estimate.level.allocated": "allocated",
    "estimate.level.reserved": "reserved",
    "estimate.level.used": "card memory used",
    "estimate.chain.left": "{gpu} has {memory}: {left} are left over.",
    "estimate.chain.short": "{gpu} has {memory}: {short} too little.",
    "estimate.chain.oom": "{gpu} has {memory}: {left} were left over, and a further {requested} was asked for.",
    # what it rests on
    "estimate.rests.title": "What this rests on",
    "estimate.rests.traced": "Traced: {steps} optimizer steps, {num} requests for memory, by the rules of "
    "torch {torch}, in {seconds}.",
    "estimate.rests.interval": "Interval ({cards}): {basis}",
    "estimate.rests.context": "CUDA context ({cards}), {span}: {basis}",
    # what else is on the card
    "estimate.observed.title": "Where the rest comes from",
    "estimate.observed.more": "You see {observed} in use. The step accounts for {used}, so the other "
    "{rest} come from somewhere else.",
    "estimate.observed.within": "You see {observed} in use. The step accounts for {used}: nothing is left to explain.",
    "estimate.observed.less": "You see {observed} in use, less than the {used} that the step needs "
    "at its peak: a reading between two peaks, or before the second step, does not see them.",
    "estimate.observed.oom": "You see {observed} in use. The step alone had reached {used} when {gpu} was full: it "
    "needs more than the card has, whatever else is on it.",
    "estimate.observed.larger": "{observed} is more than the {memory} reckoned with for {gpu}: it is another card, or "
    "the reading adds several up.",
    "estimate.observed.look": "How to look, the cheapest first:",
    "estimate.observed.processes": "other processes, also of a run that should have ended "
    "(in a container they are listed without names, or on the host only)",
    "estimate.observed.card": "a smaller card than believed, or memory in use before your program starts",
    "estimate.observed.snapshot": "a second copy of the model, or something kept from step to step: the same by module "
    "on the real card",
    "estimate.observed.record": "the same of any script: in it torch.cuda.memory._record_memory_history() at the "
    "beginning, torch.cuda.memory._dump_snapshot('snapshot.pickle') at the end",
    "estimate.observed.bisect": "which one thing causes it, by controlled trials",
    "estimate.settings.title": "Configuration",
    "estimate.settings.full": "Effective configuration, {num} keys",
    # figures
    "estimate.waterfall.title": "Memory of {gpu} at the peak",
    "estimate.waterfall.asked": "asked for, refused",
    "estimate.waterfall.card": "card: {memory}",
    "estimate.waterfall.beyond": "the card has {memory}, beyond this axis",
    "estimate.waterfall.gap.cached": "cached",
    "estimate.waterfall.gap.context": "CUDA context",
    "estimate.waterfall.gap.other_processes": "other processes",
    "estimate.waterfall.gap.outside": "outside the allocator",
    "estimate.waterfall.alt": "Waterfall chart: what the card's memory holds at the peak; values in the tables",
    "estimate.timeline.title": "Allocated by category, over the traced steps",
    "estimate.timeline.axis": "allocator event",
    "estimate.timeline.step": "step {step}",
    "estimate.timeline.before": "before step 1",
    "estimate.timeline.reserved": "reserved",
    "estimate.timeline.peak": "peak {size}",
    "estimate.timeline.alt": "Stacked areas: allocated memory by category over time, with the phases above; values at "
    "the peak in the tables",
    "estimate.icicle.title": "Allocated at the peak, by module",
    "estimate.icicle.all": "all",
    "estimate.icicle.own": "(itself)",
    "estimate.icicle.rest": "{num} smaller",
    "estimate.icicle.alt": "Icicle chart: allocated memory at the peak, modules inside modules; values in the table",
}
