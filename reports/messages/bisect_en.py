"""English, of investigation reports."""

from __future__ import annotations

MESSAGES = {
    "bisect.title.found": "Investigation report: {error} in {subject}",
    "bisect.title": "Investigation report, cause open: {error} in {subject}",
    "bisect.headline": "{answer} {took}.",
    "bisect.took": "{num} trials, {seconds}",
    "bisect.contrast": "{factor}: fails at {failing}, passes at {passing}",
    "bisect.contrast.applied": "it passes with this change alone: {change}",
    "bisect.answer": "Cause ({confidence}): {finding}",
    "bisect.finding": "{cause} ({changes}).",
    "bisect.finding.detailed": "{cause}: {detail} ({changes}).",
    "bisect.answer.best": "A change with which it passes is known: {change}.",
    "bisect.gap": " ",
    "bisect.name.example": "the example {name}",
    "bisect.answer.not_reproduced": "Not reproduced: the configuration failed in {failed} of {runs} runs.",
    "bisect.answer.fails_differently": "No cause: it failed in another way each time ({failed} of {runs} runs "
    "failed), so there is no one failure to explain.",
    "bisect.answer.outside_factors": "No cause found: even with all {factors} factors relaxed together it fails "
    "in the same way. The cause lies outside them.",
    "bisect.answer.flaky": "No cause: it failed in {failed} of {runs} runs, too rarely to tell a fix from luck "
    "within the trials allowed.",
    "bisect.answer.suspects": "The cause is among {suspects}. It failed in {failed} of {runs} runs, so no single "
    "factor can be named.",
    "bisect.answer.budget_spent": "The budget was spent before a cause was proven; {ruled_out} of {factors} "
    "factors are ruled out so far.",
    "bisect.answer.interrupted": "Interrupted before a cause was proven; {ruled_out} of {factors} factors are "
    "ruled out so far.",
    "bisect.answer.cannot_run": "Nothing could be tried: {reason}",
    "bisect.nobody": "none",
    "bisect.open": "Under investigation.",
    "bisect.yes": "yes",
    "bisect.no": "no",
    "bisect.not_known": "not known",
    "bisect.no_peak": "-",
    "bisect.untested": "not tested",
    # 0
    "bisect.header.title": "About this report",
    "bisect.header.id": "Report",
    "bisect.header.created": "Date",
    "bisect.header.status": "Status",
    "bisect.header.confidence": "Confidence",
    "bisect.header.confidence.virtual": "{confidence} for the machine in question ({trials} on the virtual card)",
    "bisect.header.subject": "Investigated",
    "bisect.header.device": "Device",
    "bisect.header.virtual": "(virtual card: no GPU was used)",
    "bisect.header.example": "Shipped example",
    "bisect.header.command": "Command",
    "bisect.header.tool": "Made by",
    "bisect.header.fingerprint": "Fingerprint of code and environment",
    "bisect.header.extent": "Extent",
    # 1
    "bisect.summary.title": "Summary of the problem",
    "bisect.summary.symptom": "Symptom:",
    "bisect.summary.cause": "Cause ({confidence}):",
    "bisect.summary.answer": "Answer:",
    "bisect.summary.action": "Recommended:",
    "bisect.pair.caption": "The proof in two trials that differ in {factor} alone:",
    "bisect.box.found.confirmed": "Confirmed on {device} by trials: it comes and goes with the cause alone.",
    "bisect.box.found.strongly_suggested": "Strongly suggested by trials on {device}, not confirmed: section 8 "
    "says what is missing.",
    "bisect.box.found.hypothesis": "A hypothesis: section 8 says what is missing for more.",
    "bisect.box.found.unknown": "The confidence could not be computed.",
    "bisect.box.found.confirmed.virtual": "Confirmed on the virtual card {device}, which counts memory as the "
    "real allocator does and computes nothing. Section 10 has the command that repeats it on the card.",
    "bisect.box.found.strongly_suggested.virtual": "Strongly suggested by trials on the virtual card {device}, "
    "not confirmed: section 8 says what is missing.",
    "bisect.box.found.hypothesis.virtual": "A hypothesis from the virtual card {device}: section 8 says what is "
    "missing for more.",
    "bisect.box.found.unknown.virtual": "The confidence could not be computed on {device}.",
    "bisect.box.found.virtual_driver": "Strongly suggested, not confirmed. The virtual card {device} shows that "
    "this mechanism produces exactly this error. What your host is, only a trial on it can show (section 10).",
    "bisect.box.not_reproduced": "There is nothing to explain yet: this report says what was run, not why it "
    "failed elsewhere.",
    "bisect.box.fails_differently": "No cause is named, because no two failures were the same.",
    "bisect.box.outside_factors": "No cause is named: trials show that it fails even with every factor relaxed at "
    "once.",
    "bisect.box.flaky": "No cause is named rather than a wrong one. More runs are needed.",
    "bisect.box.suspects": "Suspects, not a cause: each was present in every run that failed.",
    "bisect.box.budget_spent": "Interim report: nothing is proven yet, and every trial so far is kept and counts.",
    "bisect.box.interrupted": "Interim report: nothing is proven yet, and every trial so far is kept and counts.",
    "bisect.box.cannot_run": "Nothing of the configuration was run, so this report says nothing of its failure.",
    "bisect.action.fix": "{change} (cost: {cost}).",
    "bisect.action.no_fix": "No change was found that passes.",
    "bisect.next.not_reproduced": "Run it where it fails, or for longer: {command}",
    "bisect.next.fails_differently": "Look at the errors one by one: {command}",
    "bisect.next.outside_factors": "Look at the machine: {command}",
    "bisect.next.flaky": "Make it fail more often first, by running for longer: {command}",
    "bisect.next.suspects": "Search among the suspects alone: {command}",
    "bisect.next.budget_spent": "Go on from here: {command}",
    "bisect.next.interrupted": "Go on from here: {command}",
    "bisect.next.cannot_run": "Look at the machine: {command}",
    # 2
    "bisect.symptom.title": "Symptom and impact",
    "bisect.symptom.line": "{error}, in {failed} of {runs} runs, at the stage: {stage}.",
    "bisect.symptom.none": "No failure was seen ({reason}).",
    "bisect.symptom.error": "The error, word for word:",
    "bisect.symptom.signature": "What makes two failures the same, and how often it came back:",
    "bisect.symptom.family": "Family",
    "bisect.symptom.stage": "Stage",
    "bisect.symptom.frame": "Deepest frame of the program",
    "bisect.symptom.code": "Error",
    "bisect.symptom.rate": "Reproduction of the unchanged configuration",
    "bisect.symptom.rate.of": "{failed}/{runs}",
    "bisect.symptom.seconds": "Time until it failed, first run",
    "bisect.request.caption": "The request that failed, as the allocator tells it:",
    "bisect.request.requested": "Asked for",
    "bisect.request.capacity": "Capacity of the card",
    "bisect.request.free": "Free on the card",
    "bisect.request.this_process": "In use by this process",
    "bisect.request.other_processes": "In use by other processes",
    "bisect.request.allocated": "Allocated by PyTorch",
    "bisect.request.unallocated": "Reserved by PyTorch, not allocated",
    # 3
    "bisect.environment.title": "Environment",
    "bisect.environment.caption": "What was asked for, and what the first failing trial found in force inside its "
    "own process. What differs is bold.",
    "bisect.environment.unknown": "What was in force inside the failing process is not known ({reason}).",
    "bisect.environment.not_read": "not read",
    "bisect.environment.no_finding": "The checks of the machine found nothing.",
    "bisect.environment.findings": "The checks of the machine found {num}:",
    "bisect.environment.sure": " ({confidence}): ",
    "bisect.environment.no_facts": "The machine was not examined ({reason}).",
    "bisect.environment.facts": "Facts of the machine: {num} known of {total} looked for",
    "bisect.environment.base": "The failing configuration, {num} keys",
    "bisect.environment.whole": "Everything in force in the first failing trial, {num} keys",
    # 4
    "bisect.course.title": "Course of the investigation",
    "bisect.course.no_mitigation": "No countermeasure against the failure was found in force.",
    "bisect.course.mitigations": "Already applied before this investigation; each was treated as a factor, since "
    "a countermeasure can be the cause:",
    "bisect.course.mitigation": "{setting}",
    "bisect.course.caption": "From the journal, in the order of time:",
    "bisect.course.none": "No trial was run.",
    "bisect.course.reused": "earlier",
    "bisect.course.times": "{num} x {result}",
    # 5
    "bisect.method.title": "Method",
    "bisect.method.trial": "A trial is one run of the configuration in a process of its own. Each differs from "
    "the failing configuration only in the factors named; changes are never piled up from trial to trial.",
    "bisect.method.oracle": "The same failure means: {signature}. Only a pass counts as a fix. A run that fails "
    "in another way, is refused or does not end is a side effect, never a fix.",
    "bisect.method.search.fast": "Search: the smallest set of changes that passes (QuickXplain, cheap changes "
    "first), then the mildest level that passes, then a check that each change is needed.",
    "bisect.method.search.full": "Search: every factor alone first, so that each has its own effect; then the "
    "smallest set of changes that passes, its mildest levels, and a check that each change is needed.",
    "bisect.method.repeats": "The unchanged configuration ran {runs} times first and {controls} times as a "
    "control. A pass counts after {repeats} in a row (error probability {alpha}).",
    "bisect.method.repeats.once": "The unchanged configuration ran {runs} times first and {controls} times as a "
    "control, and failed every time; so one pass counts.",
    "bisect.method.vocabulary": "Words of confidence: confirmed, by controlled trials with controls; strongly "
    "suggested, by trials that lack something; hypothesis, from the error's text alone; not tested. They are "
    "computed from the trials.",
    "bisect.method.virtual": "All trials ran on {device}: no card, tensors without data, the allocator's own rules.",
    "bisect.method.factors": "Factors searched: {num}.",
    "bisect.method.mitigation": "applied as a countermeasure",
    "bisect.method.not_applicable": "Factors with nothing to act on here: {num}",
    # 6
    "bisect.findings.title": "Findings",
    "bisect.findings.overview": "{num} trials: {results}.",
    "bisect.effects.title": "Effect of each factor alone",
    "bisect.effects.caption": "One factor changed, everything else as it fails. What passes stands first; what "
    "did not help stands here, too.",
    "bisect.boundary.title": "Boundary",
    "bisect.boundary.text": "{fail} fails and {passing} passes: adjacent levels, both run, nothing else changed.",
    "bisect.boundary.text.unordered": "{fail} fails and {passing} passes: both run, nothing else changed.",
    "bisect.matrix.title": "Trials and factors",
    "bisect.matrix.caption": "A dot is a factor at its failing value.",
    "bisect.matrix.table": "Table: every trial against every factor",
    "bisect.side_effects.title": "Side effects and what stays undecided",
    "bisect.side_effect": "Changing {factor} ended otherwise: {text}",
    "bisect.side_effect.refused": "Changing {factor} was refused before anything ran: {text}",
    "bisect.side_effect.other": "Changing {factor} failed in another way: {signature}.",
    "bisect.unsure": "{factor} is neither the cause nor ruled out: {reason}",
    "bisect.relaxed.nothing": "nothing",
    "bisect.peak.title": "Where the memory was",
    "bisect.peak.unknown": "What the memory consisted of is not known ({reason}).",
    "bisect.peak.at_failure": "At the failure ({stage}): {allocated} allocated by PyTorch, {reserved} reserved.",
    "bisect.peak.passing": "At the peak of a run that passed ({stage}): {allocated} allocated by PyTorch, "
    "{reserved} reserved.",
    "bisect.peak.modules": "Table: the {num} largest modules",
    "bisect.peak.whole": "{size}",
    "bisect.peak.until_failure": "{size} until it failed",
    "bisect.estimate.title": "What the step should need",
    "bisect.estimate.unknown": "Not computed ({reason}).",
    "bisect.estimate.fits": "By itself the step needs {need} reserved, {used} with the CUDA context, and fits "
    "{card} ({memory}). A failure for want of memory has its cause outside the configuration's own needs.",
    "bisect.estimate.close": "By itself the step needs {need} reserved, {used} with the CUDA context: too close "
    "to {card} ({memory}) to say whether it fits.",
    "bisect.estimate.exceeds": "By itself the step needs {need} reserved or more, {used} with the CUDA context, "
    "and does not fit {card} ({memory}).",
    "bisect.estimate.allocated": "Allocated",
    "bisect.estimate.reserved": "Reserved",
    "bisect.estimate.used": "In use on the card, context and others included",
    "bisect.knobs.title": "What each setting would buy",
    "bisect.knobs.caption": "Computed for the same step, one setting changed, against its estimated peak:",
    "bisect.retention.title": "What stays from step to step",
    "bisect.retention.grows": "Live memory grows by {slope} a step (standard error {error}, {steps} steps): "
    "something is kept.",
    "bisect.retention.steady": "Live memory does not grow: {slope} a step (standard error {error}, {steps} steps).",
    "bisect.retention.live": "Live after the step",
    "bisect.retention.grown": "What grew, largest first, and who holds it:",
    "bisect.retention.scalar": "scalar",
    "bisect.retention.graph": " with its graph",
    "bisect.retention.nobody": "not found ({reason})",
    "bisect.retention.copies": "Weights that are there twice:",
    "bisect.retention.content": "not known ({reason})",
    "bisect.retention.frozen": "Optimizer states of parameters that take no gradient: {size}.",
    # 7
    "bisect.cause_section.title": "Cause",
    "bisect.cause_section.found": "The search named the cause; nothing in this section was written by hand.",
    "bisect.cause_section.open": "No cause was proven. What is known follows.",
    "bisect.direct.title": "Direct cause",
    "bisect.direct.fails": "With {failing} it fails.",
    "bisect.direct.passes": "With {passing} and nothing else changed it passes.",
    "bisect.direct.detail": "Found in the program: {detail}",
    "bisect.clue.first_touch.fails": "A clue: touching the device for the first time fails already, with no model "
    "involved.",
    "bisect.clue.first_touch.passes": "A clue: touching the device for the first time passes, so the failure "
    "comes later.",
    "bisect.clue.growth": "A clue: live memory grows by {slope} a step.",
    "bisect.clue.held": "A clue: live memory grows by {slope} a step, held by {holder}.",
    "bisect.root.title": "Root cause",
    "bisect.root.open": "Under investigation: no cause was proven.",
    "bisect.root.untried": "Under investigation: that the cause alone is enough to make it fail was not tried.",
    "bisect.root.insufficient": "Under investigation: the cause is needed for the failure, but alone it is not "
    "enough; something else has to be there.",
    "bisect.root.virtual": "That this is so on the host in question is strongly suggested; a trial there would "
    "prove it.",
    "bisect.conditions.title": "Conditions",
    "bisect.conditions.one": "It fails with {failing}.",
    "bisect.conditions.together": "It fails where all of these come together: {failing}.",
    "bisect.conditions.sufficient": "With everything else mended that costs the training nothing, it still fails.",
    "bisect.conditions.also": "It passes as well with another change alone: {change}.",
    "bisect.conditions.boundary": "Of {factor}, {at} still fails and {gone} passes.",
    "bisect.conditions.device": "Seen on {device}, under the fingerprint named in section 0.",
    "bisect.ruled_out.title": "Hypotheses ruled out",
    "bisect.ruled_out.none": "No hypothesis was ruled out.",
    "bisect.ruled_out.caption": "{num} hypotheses: changed alone, none of them made the failure go away.",
    # 8
    "bisect.conclusion.title": "Conclusion",
    "bisect.conclusion.caption": "Every statement with its confidence:",
    "bisect.conclusion.grounds": "Why the cause is {confidence}:",
    "bisect.ground.virtual_card": "The trials ran on {device}: they show the mechanism, not what the host in "
    "question is.",
    "bisect.ground.certificate_complete": "Without any one of the factors the failure stays: each is needed.",
    "bisect.ground.certificate_incomplete": "Lacking: that each of the factors is needed was not shown.",
    "bisect.ground.boundary_executed": "A failing and a passing trial differ in one factor by adjacent levels.",
    "bisect.ground.boundary_missing": "Lacking: no failing and passing trial differ in one factor by adjacent levels.",
    "bisect.ground.finals_passed": "The fix passed again and again in processes of its own.",
    "bisect.ground.finals_missing": "Lacking: the fix was not repeated often enough in processes of its own.",
    "bisect.ground.controls_stable": "The unchanged configuration still failed in the middle and at the end.",
    "bisect.ground.controls_missing": "Lacking: the unchanged configuration was not run again often enough.",
    "bisect.ground.controls_differ": "Against it: the unchanged configuration did not fail in the same way throughout.",
    "bisect.statement.mechanism": "On {device} this mechanism makes exactly this error, and without it the error "
    "is gone.",
    "bisect.statement.sufficient": "The cause is enough: with everything else mended that costs the training "
    "nothing, it still fails.",
    "bisect.statement.insufficient": "The cause alone is not enough: with everything else mended that costs the "
    "training nothing, it passes.",
    "bisect.statement.sufficient.unknown": "Whether the cause alone is enough ({reason}).",
    "bisect.statement.reproduced": "The failure comes back: {failed} of {runs} runs.",
    "bisect.statement.not_reproduced": "The failure did not come back: {failed} of {runs} runs.",
    "bisect.statement.ruled_out": "{num} other factors are not the cause by themselves.",
    "bisect.statement.fix": "{change} makes it pass ({num} runs).",
    "bisect.statement.untested": "{num} combinations of levels were not run.",
    "bisect.statement.untested.unknown": "How many combinations of levels remain is not known ({reason}).",
    # 9, 10
    "bisect.actions.title": "Measures",
    "bisect.actions.caption": "A measure is verified where a trial ran with it and passed; every other one says so.",
    "bisect.actions.now": "Provisional measures",
    "bisect.actions.no_fix": "None: no change was found that passes.",
    "bisect.actions.verified": "Each was run and passed, cheapest first:",
    "bisect.actions.permanent": "Permanent measures",
    "bisect.actions.permanent.caption": "What removes the cause rather than its effect:",
    "bisect.actions.open": "To be decided once the cause is proven.",
    "bisect.actions.prevention": "Prevention",
    "bisect.actions.prevention.caption": "What would have told beforehand:",
    "bisect.done_when": "the failing configuration passes with this measure, and nothing else changed",
    "bisect.prevent.estimate": "Compute before the run whether the step fits",
    "bisect.prevent.processes": "Look at what is on the card before the run",
    "bisect.prevent.env_check": "Check the machine when a job starts",
    "bisect.prevent.record": "Keep the facts of the machine with each run, effective allocator settings included",
    "bisect.recommend.title": "Next steps, not tested",
    "bisect.recommend.none": "None: what remains untested is listed in section 11.",
    "bisect.recommend.not_reproduced": "Run it where it fails, or for longer.",
    "bisect.recommend.fails_differently": "Look up what each of the errors means.",
    "bisect.recommend.outside_factors": "Look at the machine: driver, build, devices, limits.",
    "bisect.recommend.flaky": "Make it fail more often, by running for longer; section 11 says how many trials it "
    "would take as it is.",
    "bisect.recommend.suspects": "Search among the suspects alone.",
    "bisect.recommend.budget_spent": "Go on from the last trial.",
    "bisect.recommend.interrupted": "Go on from the last trial.",
    "bisect.recommend.cannot_run": "Look at the machine first.",
    "bisect.recommend.place": "Find out whether the first touch of the device fails, a tensor, or a size.",
    "bisect.recommend.card": "Repeat the investigation on the card in question.",
    "bisect.recommend.driver": "On the host in question, read whether the card has virtual memory management, and "
    "try an allocation with expandable segments on and off.",
    "bisect.recommend.full": "Measure the effect of every factor alone.",
    "bisect.recommend.unsure": "Decide the factors that are neither cause nor ruled out.",
    # 11, appendix
    "bisect.limits.title": "Limitations",
    "bisect.guarantee.one_minimal": "No factor of the cause can be left out, with respect to the {num_factors} "
    "factors and {num_levels} levels that were searched.",
    "bisect.guarantee.one_minimal_open": "Whether a factor of the cause can be left out was not shown for: {factors}.",
    "bisect.guarantee.not_smallest": "A different set with fewer factors may exist; the search finds one that "
    "cannot be reduced.",
    "bisect.guarantee.order_holds": "Relaxing {factor} further never brought the failure back, at the "
    "{num_levels} levels that were tried.",
    "bisect.guarantee.order_fails": "{factor} has no order: a further relaxation failed where a lesser one "
    "passed. All levels were tried.",
    "bisect.guarantee.this_fingerprint": "It holds for this code and this environment, as the fingerprint has them.",
    "bisect.guarantee.error_probability": "A failure that comes and goes would fail {num_failed} times of "
    "{num_failed} and then pass {num_passed} times of {num_passed} by chance with a probability of at most {bound}; "
    "allowed is {alpha}.",
    "bisect.guarantee.suspects": "The failure was observed with no more than the {num_suspects} suspects at their "
    "failing values.",
    "bisect.guarantee.pass_repeats": "Of a failure in {num_failed} of {num_runs} runs, a pass counted after "
    "{pass_repeats} passes in a row; the probability that chance hid a further suspect is at most {alpha}.",
    "bisect.guarantee.flaky_needs": "It failed in {num_failed} of {num_runs} runs. About {num_needed} trials "
    "would settle it.",
    "bisect.guarantee.outside": "It fails with every one of the {num_factors} factors relaxed as far as they go "
    "together.",
    "bisect.guarantee.stopped": "The search was stopped before its end; what it lists was run, and nothing else "
    "is claimed.",
    "bisect.guarantee.untested": "{num_untested} combinations of levels were not run.",
    "bisect.limits.contaminated": "A trial was disturbed from outside and counts for nothing: {reason}",
    "bisect.limits.no_result": "{num} trials ended without a result that counts.",
    "bisect.limits.flaky": "The failure is flaky: {failed} of {runs} runs failed. A pass was repeated {repeats} "
    "times to count (error probability {alpha}).",
    "bisect.limits.virtual": "No GPU was used. {device} counts memory and knows the rules of the allocator and of "
    "PyTorch; it does not know the host, other software on it, or the speed of anything.",
    "bisect.limits.skipped": "Left out: {what} ({reason}).",
    "bisect.appendix.trials": "Appendix A. All trials",
    "bisect.appendix.trials.summary": "Table: all {num} trials",
    "bisect.appendix.reproduce": "Appendix B. How to reproduce",
    "bisect.appendix.evidence": "Appendix C. Evidence",
    "bisect.reproduce.again": "the investigation again",
    "bisect.reproduce.report": "this report again, from the record",
    "bisect.reproduce.check": "hold this report against journal, trials and files",
    "bisect.evidence.record": "Every number of this report stands in",
    "bisect.evidence.files": "Files this report rests on: {num}, with their hashes at the end of the investigation",
    "bisect.evidence.none": "No hashes of the trial files were recorded.",
}
