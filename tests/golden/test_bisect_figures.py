"""Figures of investigations: true to the record, small, real text, the same bytes every time, dark where a page is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ilora_diag.schema import Status, Unavailable
from ilora_diag.schema.bisect import Bisect, Purpose, Step
from reports.figures import boundary, drawn_path, effects, trial_matrix
from reports.figures.bisect import bisect_figures, draw_bisect_figures, figure_alt
from reports.figures.dark import DARK
from reports.figures.outcomes import Ended, ended, step_ended, trials_by_id
from reports.messages import Words

Check = Callable[[str, str], None]
LANGUAGES = ("en", "ja")
NAMES = ("batch", "allocator", "leak", "not-reproduced")
LIMIT_BYTES = 200_000
SVG = "{http://www.w3.org/2000/svg}"


def _texts(path: Path) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.parse(path).iter(f"{SVG}text")]


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_the_text_in_the_figures_is_as_reviewed(
    name: str, lang: str, fixed_bisects: dict[str, Bisect], golden: Check, tmp_path: Path
) -> None:
    bisect = fixed_bisects[name]
    drawn, skipped = draw_bisect_figures(bisect, tmp_path, lang)
    assert skipped == ()
    assert drawn == tuple(drawn_path(figure) for figure in bisect_figures(bisect))
    told = []
    for figure in bisect_figures(bisect):
        told += [f"[{figure}] {figure_alt(figure, bisect, Words(lang))}"]
        if figure != "timeline":  # an estimate's, with goldens of its own
            told += _texts(tmp_path / drawn_path(figure))
    golden(f"bisect-{name}.{lang}.figures.txt", "\n".join(told) + "\n")


def test_each_record_has_the_figures_it_has_something_for(fixed_bisects: dict[str, Bisect]) -> None:
    found = {name: bisect_figures(bisect) for name, bisect in fixed_bisects.items()}
    assert found == {
        "batch": ("peak", "modules", "timeline", "effects", "trials", "boundary"),
        "allocator": ("trials",),
        "leak": ("effects", "trials", "boundary", "growth"),
        "not-reproduced": ("trials",),
    }


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_tell_the_same_numbers(name: str, fixed_bisects: dict[str, Bisect]) -> None:
    for figure in bisect_figures(fixed_bisects[name]):
        english, japanese = (figure_alt(figure, fixed_bisects[name], Words(lang)) for lang in LANGUAGES)
        assert re.findall(r"\d[\d.]*", english) == re.findall(r"\d[\d.]*", japanese)


def test_the_same_record_is_drawn_to_the_same_bytes_without_warnings(
    fixed_bisects: dict[str, Bisect], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    files = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        drawn, _ = draw_bisect_figures(fixed_bisects["batch"], folder, "ja")
        files.append([(folder / path).read_bytes() for path in drawn])
    assert files[0] == files[1]
    assert [str(warning.message) for warning in recwarn] == []


def test_a_long_search_over_many_factors_stays_small_and_says_what_is_left_out(
    fixed_bisects: dict[str, Bisect], tmp_path: Path
) -> None:
    bisect = _long(fixed_bisects["batch"])
    drawn, _ = draw_bisect_figures(bisect, tmp_path, "en")
    assert {
        path: (tmp_path / path).stat().st_size for path in drawn if (tmp_path / path).stat().st_size > LIMIT_BYTES
    } == {}
    assert "Every trial (35 in the middle left out)" in _texts(tmp_path / drawn_path("trials"))


def _long(bisect: Bisect) -> Bisect:
    model = bisect.factors[1]
    factors = (*bisect.factors, *(replace(model, name=f"some.long.factor.name_{index}") for index in range(14)))
    more = tuple(
        Step(
            trial=bisect.trials[index % len(bisect.trials)].id,
            purpose=Purpose.REPAIR,
            relaxed=tuple((factor.name, (index + place) % 4) for place, factor in enumerate(factors)),
        )
        for index in range(95 - len(bisect.steps))
    )
    return replace(bisect, factors=factors, steps=(*bisect.steps, *more))


def test_a_dark_page_gets_every_colour_that_would_glare(fixed_bisects: dict[str, Bisect], tmp_path: Path) -> None:
    drawn, _ = draw_bisect_figures(fixed_bisects["batch"], tmp_path, "en")
    for path in drawn:
        text = (tmp_path / path).read_text(encoding="utf-8")
        body, _, sheet = text.partition("@media screen and (prefers-color-scheme: dark)")
        used = [light for light in DARK if f"fill: {light}" in body]
        assert used
        assert all(f'[style*="fill: {light}"] {{ fill: {DARK[light]} !important }}' in sheet for light in used)


def test_the_largest_relief_stands_first_and_what_was_not_tried_last(fixed_bisects: dict[str, Bisect]) -> None:
    rows = effects.rows(fixed_bisects["batch"])
    assert rows[0].label == "batch_size: 32 -> 1"
    assert [row.label for row in rows if row.ended is None] == ["other_processes", "validation"]
    sizes = [row.size_bytes for row in rows if row.ended is not None]
    assert sizes == sorted(sizes)


def test_an_unknown_effect_is_no_effect_of_nothing(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    unknown = replace(bisect.effects[0], delta_bytes=Unavailable(reason="the card does not tell"))
    rows = effects.rows(replace(bisect, effects=(unknown, *bisect.effects[1:])))
    assert [row.label for row in rows if isinstance(row.delta_bytes, Unavailable)] == ["batch_size: 32 -> 1"]
    assert "batch_size: 32 -> 1: peak unknown (passes)" in effects.alt(
        replace(bisect, effects=(unknown, *bisect.effects[1:])), Words("en")
    )


def test_the_boundary_compares_trials_that_differ_in_one_factor_alone(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    found = boundary.points(bisect)
    assert [(point.level, point.ended) for point in found] == [
        (0, Ended.SAME), (1, Ended.SAME), (2, Ended.PASS), (3, Ended.PASS), (5, Ended.PASS),
    ]  # fmt: skip
    both = Step(trial="T-06", purpose=Purpose.REPAIR, relaxed=(("batch_size", 4), ("max_seq_len", 3)))
    assert boundary.points(replace(bisect, steps=(*bisect.steps, both))) == found


def test_a_boundary_without_a_peak_on_both_sides_is_not_drawn(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    assert bisect.boundary is not None
    bare = tuple(replace(trial, metrics=()) if trial.id == bisect.boundary.fail else trial for trial in bisect.trials)
    assert boundary.available(bisect)
    assert not boundary.available(replace(bisect, trials=bare))


def test_the_cards_line_is_left_out_where_the_card_itself_is_the_factor(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    factor = bisect.factors[0]
    smaller = replace(factor.levels[1], changes=(("device.memory_bytes", 1 << 30),))
    of_card = (replace(factor, levels=(factor.levels[0], smaller, *factor.levels[2:])), *bisect.factors[1:])
    assert boundary.same_card_bytes(bisect) == 14_910 << 20
    assert isinstance(boundary.same_card_bytes(replace(bisect, factors=of_card)), Unavailable)
    assert boundary.card_bytes(replace(bisect, factors=of_card)) == 14_910 << 20


def test_a_look_at_something_else_is_no_test_of_a_factor(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    looked = Step(trial="T-05", purpose=Purpose.GROWTH, relaxed=())
    assert boundary.points(replace(bisect, steps=(looked, *bisect.steps))) == boundary.points(bisect)
    assert step_ended(looked, trials_by_id(bisect)) is Ended.NONE
    assert step_ended(replace(looked, purpose=Purpose.EFFECT), trials_by_id(bisect)) is Ended.PASS


def test_only_a_pass_is_drawn_as_a_pass(fixed_bisects: dict[str, Bisect]) -> None:
    trial = fixed_bisects["batch"].trials[0]
    passing = {
        status
        for status in Status
        if ended(replace(trial, status=status, reason="x", signature=None if status is Status.OK else trial.signature))
        is Ended.PASS
    }
    assert passing == {Status.OK}
    assert ended(None) is Ended.NONE


def test_every_purpose_has_its_words() -> None:
    for lang in LANGUAGES:
        words = Words(lang)
        assert all(words(f"figure.bisect.purpose.{purpose.value}") for purpose in Purpose)


def test_a_short_matrix_shows_every_step(fixed_bisects: dict[str, Bisect]) -> None:
    bisect = fixed_bisects["batch"]
    assert trial_matrix.shown_steps(bisect) == bisect.steps
    assert len(trial_matrix.shown_steps(_long(bisect))) == trial_matrix.MAX_ROWS
