"""What the result does not say: guarantees in words, what was not tested, and what disturbed the trials."""

from __future__ import annotations

from ilora_diag.schema import Scalar, Status, Unavailable
from ilora_diag.schema.bisect import Guarantee
from reports.blocks import Bullets, Section, Text, code
from reports.view.bisect_story import BisectStory

_NO_RESULT = (Status.TIMED_OUT, Status.GARBLED, Status.SKIPPED, Status.INTERRUPTED, Status.CRASHED)


def limits(story: BisectStory) -> tuple[Section, ...]:
    """One list, the guarantees first."""
    items = [
        story.cite(guarantee_text(story, one), story.fact(f"guarantees/{index}", f"guarantees.{one.code}"))
        for index, one in enumerate(story.bisect.guarantees)
    ]
    told = {one.code for one in story.bisect.guarantees}
    items += [] if "untested" in told else [_untested(story)]
    items += [*_disturbed(story), *_flaky(story), *_elsewhere(story), *_missing(story)]
    return (Section(title=story.words("bisect.limits.title"), blocks=(Bullets(items=tuple(items)),), brief=True),)


def guarantee_text(story: BisectStory, one: Guarantee) -> str:
    """A guarantee in this language; its own English where there are no words for its code."""
    message = story.words.named(f"bisect.guarantee.{one.code}", "")
    if not message:
        return story.words.reason(one.text)
    try:
        return message.format(**{name: _number(value) for name, value in one.parameters})
    except (KeyError, IndexError):
        return one.text


def _untested(story: BisectStory) -> Text:
    words, num = story.words, story.bisect.num_untested
    if isinstance(num, Unavailable):
        text = words("bisect.statement.untested.unknown", reason=words.reason(num.reason))
    else:
        text = words("bisect.statement.untested", num=f"{num:,}")
    return story.cite(text, story.fact("num_untested"))


def _disturbed(story: BisectStory) -> list[Text]:
    """Trials whose outcome counts for nothing."""
    items: list[Text] = []
    for trial in story.bisect.trials:
        if trial.status is Status.CONTAMINATED:
            text = story.words("bisect.limits.contaminated", reason=story.words.reason(trial.reason))
            items.append(story.cite(text, story.run(trial.id)))
    lost = [trial.id for trial in story.bisect.trials if trial.status in _NO_RESULT]
    if lost:
        items.append(story.cite(story.words("bisect.limits.no_result", num=len(lost)), *story.runs(lost)))
    return items


def _flaky(story: BisectStory) -> list[Text]:
    reproduction, words = story.bisect.reproduction, story.words
    if reproduction.num_failed in (0, reproduction.num_runs):
        return []
    text = words(
        "bisect.limits.flaky",
        failed=reproduction.num_failed,
        runs=reproduction.num_runs,
        repeats=reproduction.pass_repeats,
        alpha=f"{reproduction.alpha:g}",
    )
    return [story.cite(text, story.fact("reproduction"))]


def _elsewhere(story: BisectStory) -> list[Text]:
    if not story.on_virtual_card:
        return []
    text = story.fill("bisect.limits.virtual", device=code(story.bisect.device))
    return [story.cite(text, story.fact("device"))]


def _missing(story: BisectStory) -> list[Text]:
    return [
        story.cite(
            story.fill("bisect.limits.skipped", what=code(one.what), reason=story.words.reason(one.reason)),
            story.fact(f"skipped/{index}"),
        )
        for index, one in enumerate(story.bisect.skipped)
    ]


def _number(value: Scalar) -> str:
    """A count with its thousands apart, anything else as it is."""
    counted = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if counted else str(value)
