"""English and Japanese say the same things with the same values."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

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
