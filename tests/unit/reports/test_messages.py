"""English and Japanese say the same things with the same values."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

from ilora_diag.hardware.gpus import GPUS
from ilora_diag.schema import Status
from reports.messages import LANGUAGES, REASONS, Words

EN, JA = LANGUAGES["en"], LANGUAGES["ja"]


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_both_languages_have_the_same_keys_in_the_same_order() -> None:
    assert list(EN) == list(JA)


@pytest.mark.parametrize("key", EN)
def test_both_languages_take_the_same_values(key: str) -> None:
    assert _placeholders(EN[key]) == _placeholders(JA[key])


def test_every_status_has_its_words() -> None:
    assert {f"status.{status.value}" for status in Status} <= set(EN)


def test_every_key_that_the_code_names_exists_and_every_key_is_named(repo_root: Path) -> None:
    used: set[str] = set()
    prefixes: set[str] = set()
    for path in [*(repo_root / "reports").rglob("*.py"), *(repo_root / "ilora_diag" / "cli").glob("*.py")]:
        if path.parent.name == "messages" or path.name == "style.py":  # matplotlib's settings look like our keys
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                prefixes.add(str(node.values[0].value))
    keyed = {text for text in used if re.fullmatch(r"[a-z_]+(\.[a-z_0-9]+)+", text)}
    groups = {key.partition(".")[0] for key in EN}
    unknown = {key for key in keyed if key.partition(".")[0] in groups and key not in EN and not _is_file(key)}
    assert unknown == set()
    families = ("metric.", *(prefix for prefix in prefixes if "." in prefix))  # metrics are named by the trainer
    unused = {key for key in EN if key not in used and not key.startswith(families)}
    assert unused == set()


def _is_file(text: str) -> bool:
    return text.rpartition(".")[2] in ("yaml", "jsonl", "md", "json", "svg", "pickle")


def test_an_unknown_language_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="en or ja"):
        Words("fr")


def test_a_common_reason_is_translated_and_another_stays_as_it_is() -> None:
    words = Words("ja")
    assert words.reason("the run log has no data event") == "実行ログに data イベントがありません"
    assert words.reason("NVML: Not Supported") == "NVML: Not Supported"
    assert Words("en").reason("chance of the metric event is null") == "no chance level"


def test_reason_patterns_expand() -> None:
    for lang, table in REASONS.items():
        for pattern, template in table:
            groups = re.compile(pattern).groups
            named = {int(number) for number in re.findall(r"\\(\d)", template)}
            assert named <= set(range(1, groups + 1)), (lang, pattern)


@pytest.mark.parametrize(
    "reason",
    [
        *sorted({spec.context_bytes.basis for spec in GPUS.values()}),
        "not looked for",
        "at least 3 and less than 9: not found within 4 traces",
        "between 15.10 and 16.20 GiB of 15.78 GiB",
        "floating-point values read from the card (such as a loss) are taken to be 1.0",
        "floating-point values read from the card (such as a loss) are taken to be 1.0 (5 times)",
        "int64 values read from the card are taken to be 0 (12 times)",
    ],
)
def test_what_an_estimate_rests_on_is_told_in_japanese_with_its_numbers(reason: str) -> None:
    told = Words("ja").reason(reason)
    assert told != reason
    assert sorted(re.findall(r"\d+", told)) == sorted(re.findall(r"\d+", reason))


def test_every_cost_and_assumption_of_an_estimate_is_told_in_japanese(repo_root: Path) -> None:
    """Read from the sources, since the probes cannot be imported here: a new sentence needs its translation."""
    words = Words("ja")
    said = {
        node.value
        for name in (
            "estimate_knobs.py",
            "estimate_compose.py",
            "estimate_rec_compose.py",
            "estimate_record.py",
            "run_answer.py",
        )
        for node in ast.walk(ast.parse((repo_root / "probes" / name).read_text(encoding="utf-8")))
        for node in _sentences(node)
    }
    assert len(said) > 20
    assert {text for text in said if words.reason(text) == text} == set()


def _sentences(node: ast.AST) -> list[ast.Constant]:
    """Whole sentences that a node yields, names a cost, or gives as a reason."""
    values: list[ast.expr | None] = []
    if isinstance(node, ast.Yield):
        values.append(node.value)
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "cost":
        values.append(node.value)
    if isinstance(node, ast.keyword) and node.arg in ("cost", "reason"):
        values.append(node.value)
    return [value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
