"""The vocabulary of what a search says of its own result. `reports.messages` holds the sentences for people."""

from __future__ import annotations

GROUNDS: dict[str, str] = {
    "certificate_complete": "without any one of the factors the failure stays",
    "certificate_incomplete": "whether each of the factors is needed was not shown",
    "boundary_executed": "a failing and a passing trial differ in one factor by adjacent levels",
    "boundary_missing": "no failing and passing trial differ in one factor by adjacent levels",
    "finals_passed": "the fix passed again and again in fresh processes",
    "finals_missing": "the fix was not repeated often enough in fresh processes",
    "controls_stable": "the unchanged configuration still failed in the middle and at the end",
    "controls_missing": "the unchanged configuration was not run again often enough",
    "controls_differ": "the unchanged configuration did not fail in the same way throughout",
    "virtual_card": "the trials ran on a virtual card: they show the mechanism, not what the host in question is",
}
"""What a confidence rests on, or lacks: word -> English."""

UNSURE: dict[str, str] = {
    "not_tried_alone": "not tried alone",
    "no_help_with_others": "not tried alone; relaxed together with others it failed the same",
    "not_every_level": "not tried alone at every level",
    "other_failure": "relaxed alone it failed in another way",
    "also_passes": "relaxed alone it passes, too",
    "suspect": "the cause is among these factors",
    "in_passing_set": "one of the factors with which it passed; whether it is needed was not shown",
}
"""Why a factor is neither cause nor ruled out: word -> English, followed by `: T-04, T-07` where trials show it."""


def unsure(word: str, trials: tuple[str, ...] = ()) -> str:
    """The reason for a factor that is neither cause nor ruled out."""
    return f"{UNSURE[word]}: {', '.join(trials)}" if trials else UNSURE[word]
