"""What to type next: the fix where there is one, else the run that would tell more."""

from __future__ import annotations

import re
import shlex

from ilora_diag.schema import Unavailable
from ilora_diag.schema.bisect import Outcome
from reports.blocks import Text, code
from reports.view.bisect_story import BisectStory
from reports.view.outcome import shell
from reports.view.teller import setting_text

_OWN = frozenset({"env", "device", "parts", "apply", "arg"})
"""First words of settings that are no keys of a configuration (`ilora_diag.schema.trial_request`)."""


def recommended(story: BisectStory) -> Text:
    """The one thing to do, with its evidence."""
    bisect = story.bisect
    if story.measures:
        index, fix = story.measures[0]
        text = story.fill("bisect.action.fix", change=story.change(fix.change), cost=cost(story, fix.cost))
        return story.cite(text, *story.runs(fix.verified_by), story.fact(f"fixes/{index}"))
    if bisect.outcome is Outcome.CAUSE_FOUND:
        return story.cite(story.words("bisect.action.no_fix"), story.fact("fixes"))
    text = story.fill(f"bisect.next.{bisect.outcome.value}", command=code(next_command(story)))
    return story.cite(text, story.fact("outcome"))


def cost(story: BisectStory, word: str) -> str:
    """A word of the vocabulary of costs, as people say it."""
    return story.words.named(f"cost.{word}", word)


def next_command(story: BisectStory) -> str:
    """The command that would tell more, by how the investigation ended."""
    bisect = story.bisect
    if bisect.outcome in (Outcome.BUDGET_SPENT, Outcome.INTERRUPTED):
        return story.resume_command()
    if bisect.outcome is Outcome.FLAKY:  # going on would only find the same again
        return with_option(bisect.command, "--max-steps", "20")
    if bisect.outcome is Outcome.SUSPECTS:
        return with_option(bisect.command, "--factors", ",".join(bisect.suspects))
    if bisect.outcome is Outcome.NOT_REPRODUCED:
        return on_the_card(story) if story.on_virtual_card else with_option(bisect.command, "--max-steps", "20")
    if bisect.outcome is Outcome.FAILS_DIFFERENTLY:
        return shell("ilora-diag", "explain", "--text", _error(story))
    return "ilora-diag env-check"


def on_the_card(story: BisectStory) -> str:
    """The same investigation on the card itself."""
    command = re.sub(r" --device[ =]\S+", "", story.bisect.command)
    return with_option(command, "--device", "cuda")


def with_option(command: str, *option: str) -> str:
    """A command with an option more, in front of a script's own command line."""
    head, dashes, script = command.partition(" -- ")
    return f"{head} {shell(*option)}{dashes}{script}"


def estimate_command(story: BisectStory) -> str:
    """What tells beforehand whether the step fits; of a script, a run of it on a virtual card."""
    _, dashes, script = story.bisect.command.partition(" -- ")
    card = story.bisect.device.partition(":")[2]
    if dashes:
        return f"ilora-diag run --device virtual:{card or 'NAME'} --max-steps 3 -- {script}"
    typed = [_typed(key, value) for key, value in story.bisect.requested if _is_configuration(key)]
    return " ".join(("ilora-diag estimate", *typed, f"--gpu {card or 'NAME'}"))


def why_not_run(story: BisectStory) -> str:
    """Why nothing could be tried, where that is how it ended."""
    bisect = story.bisect
    trial = bisect.trials[-1] if bisect.trials else None
    if trial is not None and trial.reason:
        return trial.reason
    if bisect.skipped:
        return bisect.skipped[0].reason
    if isinstance(bisect.signature, Unavailable):
        return bisect.signature.reason
    return _error(story)


def _error(story: BisectStory) -> str:
    return story.bisect.error_text.strip().partition("\n")[0]


def _is_configuration(key: str) -> bool:
    return key == "--config" or (not key.startswith("--") and key.partition(".")[0] not in _OWN)


def _typed(key: str, value: object) -> str:
    text = setting_text(value)  # type: ignore[arg-type]
    return f"{key} {shlex.quote(text)}" if key.startswith("--") else shlex.quote(f"{key}={text}")
