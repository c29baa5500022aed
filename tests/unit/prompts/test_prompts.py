"""The wording of prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ilora.config import ConfigError
from ilora.data.prompts import built_in_templates, load_templates, parse_template, template_index

KINDS = ("movie", "artist", "game", "book", "item")


def parse(text: str) -> object:
    return parse_template(text, key="data.prompt_file", name="mine.txt, line 1")


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_three_templates_that_end_without_a_space(kind: str) -> None:
    texts = [template.render(["A", "B"], ["C"]) for template in built_in_templates(kind)]
    assert len(set(texts)) == 3
    for text in texts:
        assert " A [HistoryEmb], B [HistoryEmb]" in text
        assert " C [CansEmb]" in text
        assert text == text.strip()
        assert "{" not in text


def test_kinds_differ_in_their_words() -> None:
    first = {built_in_templates(kind)[0].render(["A"], ["B"]) for kind in KINDS}
    assert len(first) == len(KINDS)


def test_text_only_prompts_have_one_placeholder_for_both_lists() -> None:
    text = built_in_templates("movie")[1].render(["A"], ["B", "C"], hybrid=False)
    assert text.count("[PH]") == 3
    assert "Emb]" not in text


def test_lists_may_come_in_either_order() -> None:
    template = parse_template("From [CansHere] after [HistoryHere]: ", key="k", name="n")
    assert template.render(["A"], ["B"]) == "From B [CansEmb] after A [HistoryEmb]:"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Only [HistoryHere].", r"\[CansHere\] is missing"),
        ("Only [CansHere].", r"\[HistoryHere\] is missing"),
        ("Twice [HistoryHere] [HistoryHere] [CansHere].", r"\[HistoryHere\] stands 2 times"),
        ("Close:[HistoryHere] and [CansHere].", r"a space before \[HistoryHere\]"),
        ("[HistoryHere] and [CansHere].", r"a space before \[HistoryHere\]"),
    ],
)
def test_a_broken_template_is_refused_by_name(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        parse(text)
    assert "mine.txt, line 1" in str(caught.value)


def test_a_file_replaces_the_built_in_wording(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Seen [HistoryHere]. Of [CansHere]: \n\nAfter [HistoryHere] one of [CansHere]\n", encoding="utf-8")
    templates = load_templates("movie", str(file))
    assert [template.render(["A"], ["B"]) for template in templates] == [
        "Seen A [HistoryEmb]. Of B [CansEmb]:",
        "After A [HistoryEmb] one of B [CansEmb]",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\n \n", "It holds none"),
        (b"\xff\xfe", "UTF-8"),
        (b"fine [HistoryHere] [CansHere]\nnot", "line 2"),
        (None, "No such"),
    ],
)
def test_an_unusable_file_is_refused(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    file = tmp_path / "mine.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_templates("movie", str(file))
    assert caught.value.key == "data.prompt_file"


def test_the_choice_of_template_is_a_function_of_seed_epoch_and_row() -> None:
    def choices(seed: int, epoch: int) -> list[int]:
        return [template_index(3, seed=seed, epoch=epoch, row=row) for row in range(60)]

    assert choices(1, 0) == choices(1, 0)
    assert choices(1, 0) != choices(1, 1) != choices(2, 1)
    assert {*choices(1, 0)} == {0, 1, 2}
