"""What is said of a bisection that has not begun, in English."""

from __future__ import annotations

MESSAGES = {
    "bisect.plan.title": "What would be tried",
    "bisect.plan.numbers": "{factors} factors. If one of them is the cause, {least} to {most} trials find and prove "
    "it, {expected} on average; causes that need several take more.",
    "bisect.plan.nothing_run": "Nothing was run. In mode fast, factors are relaxed in groups, so most of the lines "
    "below are never run alone; their order is that of preference.",
    "bisect.plan.factor": "Factor",
    "bisect.plan.levels": "Levels, the failing one first",
    "bisect.plan.cost": "Costs, at its mildest",
    "bisect.plan.factors": "Factors",
    "bisect.plan.num": "Trials",
    "bisect.plan.purpose": "Why",
    "bisect.plan.change": "Change",
    "bisect.plan.schedule": "Schedule",
    "bisect.plan.left_out": "Not searched",
    "bisect.plan.none_left_out": "Nothing is left out.",
    "bisect.plan.reason": "Reason",
}
