"""English, of the figures of investigations."""

from __future__ import annotations

MESSAGES = {
    "figure.bisect.ended.pass": "passes",
    "figure.bisect.ended.same": "same failure",
    "figure.bisect.ended.other": "another failure",
    "figure.bisect.ended.none": "no verdict",
    "figure.bisect.alt.more": " and {num} more",
    # effects
    "figure.bisect.effects.title": "What each factor alone does to the peak",
    "figure.bisect.effects.axis": "change of the peak of reserved memory against the failing trial, {unit}\n"
    "(which ended before a peak of its own)",
    "figure.bisect.effects.untested": "not tried alone",
    "figure.bisect.effects.unknown": "peak unknown ({ended})",
    "figure.bisect.effects.note": "{delta} ({ended})",
    "figure.bisect.effects.alt": "Change of the peak of reserved memory, each factor relaxed alone: {rows}",
    "figure.bisect.effects.alt.row": "{label}: {note}",
    # trials
    "figure.bisect.trials.title": "Every trial: what was relaxed, and how it ended",
    "figure.bisect.trials.title_cut": "Every trial ({num} in the middle left out)",
    "figure.bisect.trials.partly": "relaxed, not to the mildest level",
    "figure.bisect.trials.wholly": "relaxed to the mildest level",
    "figure.bisect.trials.row": "{trial}  {purpose}",
    "figure.bisect.trials.again": "{trial} again  {purpose}",
    "figure.bisect.trials.alt": "Matrix of {steps} trials over {factors} factors: {rows}",
    "figure.bisect.trials.alt.row": "{ended} {num}",
    "figure.bisect.purpose.preflight_fail": "as it fails",
    "figure.bisect.purpose.preflight_mild": "all relaxed",
    "figure.bisect.purpose.first_touch": "first touch",
    "figure.bisect.purpose.growth": "growth",
    "figure.bisect.purpose.repair": "search",
    "figure.bisect.purpose.effect": "effect alone",
    "figure.bisect.purpose.level": "level",
    "figure.bisect.purpose.monotone": "order of levels",
    "figure.bisect.purpose.certificate": "certificate",
    "figure.bisect.purpose.sufficient": "cause alone",
    "figure.bisect.purpose.control": "control",
    "figure.bisect.purpose.final": "final",
    # boundary
    "figure.bisect.boundary.title": "The boundary: peak by level of {factor}",
    "figure.bisect.boundary.axis": "level of {factor}, failing to mildest",
    "figure.bisect.boundary.peak": "peak of reserved memory, {unit}",
    "figure.bisect.boundary.trial": "{trial}\n{size}",
    "figure.bisect.boundary.trials": "{trial} (+{num})\n{size}",
    "figure.bisect.boundary.alt": "Peak of reserved memory by level of {factor}: with {failing}, {fail_trial} fails at "
    "{fail_peak}; with the next level, {passing}, {pass_trial} passes at {pass_peak}",
    # peak, modules, timeline
    "figure.bisect.peak.failed": "The card's memory when it failed",
    "figure.bisect.peak.passed": "The card's memory at the peak of a trial that passed",
    "figure.bisect.peak.alt": "{title}: {rows}",
    "figure.bisect.peak.alt.row": "{label} {size}",
    "figure.bisect.modules.title": "Allocated then, by module",
    "figure.bisect.modules.alt": "Allocated bytes by module, the largest: {rows}",
    "figure.bisect.timeline.alt": "Allocated bytes by category over the steps of the estimate: at most {allocated} "
    "allocated, {reserved} reserved",
    # growth
    "figure.bisect.growth.title": "Live bytes after each step",
    "figure.bisect.growth.live": "live after the step",
    "figure.bisect.growth.slope": "fitted from step 2 on: {slope}",
    "figure.bisect.growth.per_step": "{size} a step (standard error {error})",
    "figure.bisect.growth.alt": "Live bytes after each of {num} steps, from {first} to {last}: {slope}",
}
