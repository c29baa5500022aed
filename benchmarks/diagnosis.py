"""How often env-check names the right cause: `python -m benchmarks.diagnosis [DATA]`.

Scores, each with its denominator:

* incidents: the leading category against the confirmed one, from the message alone, the facts alone, and both; on the
  controls (no cause was ever confirmed) the answer has to be `unknown` or none;
* mutations: a healthy machine with one fact broken is answered with that and nothing else; with a fact changed that is
  no fault, or with a fact removed, it is answered with nothing;
* oom_logs: a leading cause, where the label has one; how many numbers a parser finds is the business of its own tests;
* smi: captures of machines that work must give no error.

Nothing here was used to fit a rule but the labelled incidents that are in the data folder; the folder's README says
that there are more of the same kinds.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.diagnosis_cases import HARMLESS, HEALTHY, MUTATIONS, facts_of, mutated
from ilora_diag.checks.judging import judge
from ilora_diag.collect.importers import import_facts
from ilora_diag.knowledge.reading import read_error
from ilora_diag.schema import Facts, Finding, Severity, Unavailable

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one incident was answered with."""

    file: str
    wanted: str
    control: bool
    message: str
    facts: str
    both: str

    def is_right(self, answer: str) -> bool:
        """Whether an answer is the confirmed cause; on a control, that it names none."""
        return answer in ("unknown", "none") if self.control else answer == self.wanted


def leading(findings: tuple[Finding, ...]) -> str:
    """The category that leads; `none` without findings."""
    return findings[0].category if findings else "none"


def incidents(data: Path) -> Iterator[Answer]:
    """Every labelled incident, judged three times."""
    folder = data / "incidents"
    for line in (folder / "labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        facts = import_facts(folder / label["file"])
        text = tuple(fact for fact in facts.facts if fact.path == "error.text")
        bare = tuple(fact for fact in facts.facts if fact.path != "error.text")
        yield Answer(
            file=label["file"],
            wanted=label["category"],
            control=label["level"] == CONTROL,
            message=leading(judge(Facts(captured_at=facts.captured_at, facts=text))) if text else "no message",
            facts=leading(judge(Facts(captured_at=facts.captured_at, facts=bare))),
            both=leading(judge(facts)),
        )


def mutation_failures() -> list[str]:
    """Mutations that are not answered with their category, alone."""
    failures = []
    for mutation in MUTATIONS:
        found = [one.category for one in judge(mutated(mutation.changes))]
        if found != [mutation.category]:
            failures.append(f"{mutation.category}: {dict(list(mutation.changes.items())[:1])} -> {found}")
    return failures


def false_alarms() -> list[str]:
    """Harmless changes, and single facts removed, that are answered with anything at all."""
    alarms = [f"{changes} -> {leading(found)}" for changes in HARMLESS if (found := judge(mutated(changes)))]
    for path in HEALTHY:
        rest = {other: value for other, value in HEALTHY.items() if other != path}
        if found := judge(facts_of(rest)):
            alarms.append(f"without {path} -> {leading(found)}")
    return alarms


def smi_errors(data: Path) -> dict[str, list[str]]:
    """Captures of nvidia-smi by file, with the errors found in each."""
    files = [json.loads(line)["file"] for line in (data / "smi" / "index.jsonl").read_text().splitlines()]
    return {
        file: [one.category for one in judge(import_facts(data / "smi" / file)) if one.severity is Severity.ERROR]
        for file in files
    }


def oom_answers(data: Path) -> Counter[str]:
    """How the out-of-memory messages are answered, without facts."""
    nothing = Facts(captured_at=Unavailable(reason="not collected"))
    rows = [json.loads(line) for line in (data / "oom_logs" / "index.jsonl").read_text().splitlines()]
    return Counter(leading(judge(nothing, read_error((data / "oom_logs" / row["file"]).read_bytes()))) for row in rows)


def main(argv: list[str]) -> int:
    """Print the scores; 1 where a mutation fails."""
    data = Path(argv[0]) if argv else DATA
    failures, alarms = mutation_failures(), false_alarms()
    print(f"mutations: {len(MUTATIONS) - len(failures)} of {len(MUTATIONS)} answered with that cause and nothing else")
    print(f"harmless changes and removed facts: {len(alarms)} false alarms in {len(HARMLESS) + len(HEALTHY)}")
    for line in (*failures, *alarms):
        print(f"  {line}")
    if not data.is_dir():
        print(f"no labelled data at {data}", file=sys.stderr)
        return bool(failures)
    answers = list(incidents(data))
    confirmed = [one for one in answers if not one.control]
    for name in ("message", "facts", "both"):
        right = sum(one.is_right(getattr(one, name)) for one in confirmed)
        print(f"incidents, {name}: {right} of {len(confirmed)}")
    controls = [one for one in answers if one.control]
    print(f"controls without a false alarm: {sum(one.is_right(one.both) for one in controls)} of {len(controls)}")
    for one in answers:
        if not one.is_right(one.both):
            print(f"  {one.file}: {one.both} instead of {one.wanted}")
    captures = smi_errors(data)
    print(f"smi captures without an error found: {sum(not found for found in captures.values())} of {len(captures)}")
    told = oom_answers(data)
    print(f"out-of-memory messages: {dict(told.most_common())}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
