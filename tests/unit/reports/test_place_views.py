"""Placements and isolations told: every class has its sentence in both languages, every row of the table stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ilora_diag.schema import from_json, to_json
from ilora_diag.schema.isolate import IsolateAnswer, IsolateCell, Isolation
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.place import Leaf, PlaceClass, Placement, PlaceMode, PlaceOutcome, PlaceTry
from ilora_diag.schema.trial import ErrorFamily, FailureSignature, Status, Trial
from ilora_diag.schema.trial_answer import StageUse
from ilora_diag.schema.trial_request import Stage
from reports.markdown import render_document
from reports.view.isolate import isolate_document, isolate_headline
from reports.view.place import place_document, place_headline

NONE = Unavailable(reason="nothing was put on the card", source="place")
LEAF = Leaf(
    name="llm.embed.weight",
    kind="parameter",
    dtype="float16",
    shape=(50272, 768),
    size_bytes=77217792,
    is_contiguous=False,
)
SIGNATURE = FailureSignature(family=ErrorFamily.CUDA_DRIVER, stage="place_llm", top_frame=NONE, code="not supported")


def trial(number: int, status: Status) -> Trial:
    return Trial(
        id=f"T-{number:02d}",
        probe="place",
        requested=(("device", "virtual:t4"),),
        effective=(("card.name", "Tesla T4"),),
        status=status,
        started_at=0.0,
        seconds=1.0,
        signature=None if status is Status.OK else SIGNATURE,
    )


def placement(answer: PlaceClass) -> Placement:
    fails = answer is not PlaceClass.NOTHING_FAILS
    outcomes = [PlaceOutcome.FAILS if fails else PlaceOutcome.PASSES, PlaceOutcome.PASSES, PlaceOutcome.NOT_NEEDED]
    rows = tuple(
        PlaceTry(
            mode=mode,
            outcome=outcome,
            trial="" if outcome is PlaceOutcome.NOT_NEEDED else f"T-{number:02d}",
            leaf=LEAF if outcome is PlaceOutcome.FAILS else None,
            num_moved=12,
            moved_bytes=3 << 30,
            allocated_bytes=3 << 30,
            reserved_bytes=NONE,
            detail="RuntimeError: | operation not supported",
        )
        for number, (mode, outcome) in enumerate(zip(PlaceMode, outcomes, strict=False), start=1)
    )
    return Placement(
        run_id="run",
        created_at=0.0,
        tool_version="0",
        command="ilora-diag bisect-device --device virtual:t4",
        subject="incident",
        device="virtual:t4",
        base=(),
        requested=(),
        effective=(("card.name", "Tesla T4"), ("llm.preset", "opt-125m")),
        answer=answer,
        culprit=LEAF if fails else None,
        signature=SIGNATURE if fails else NONE,
        error_text="RuntimeError: operation not supported" if fails else "",
        table=rows,
        allocator_before="PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
        allocator_after="",
        trials=(trial(1, Status.OTHER if fails else Status.OK), trial(2, Status.OK)),
        notes=("rec.checkpoint names no file: the recommender has random weights",),
        duration_s=2.0,
    )


def isolation(answer: IsolateAnswer) -> Isolation:
    use = StageUse(
        stage=Stage.PLACE_REC,
        seconds=1.0,
        allocated_bytes=1 << 20,
        reserved_bytes=2 << 20,
        peak_allocated_bytes=1 << 20,
        peak_reserved_bytes=2 << 20,
    )
    cells = tuple(
        IsolateCell(
            trial=f"T-{number:02d}",
            components=components,
            load_order=order,
            rec_weights=weights,
            status=status,
            failed_in="" if status is Status.OK else "place_llm",
            stages=(use,),
            peak_allocated_bytes=1 << 20,
            peak_reserved_bytes=NONE,
            signature=NONE if status is Status.OK else SIGNATURE,
            error_text="" if status is Status.OK else "RuntimeError: operation not supported",
        )
        for number, (components, order, weights, status) in enumerate(
            [
                ("llm", "", "", Status.OTHER),
                ("rec", "", "checkpoint", Status.OK),
                ("both", "rec_first", "random", Status.OTHER),
            ],
            start=1,
        )
    )
    return Isolation(
        run_id="run",
        created_at=0.0,
        tool_version="0",
        command="ilora-diag isolate-rec --device virtual:t4",
        subject="incident",
        device="virtual:t4",
        base=(),
        requested=(),
        effective=NONE,
        answer=answer,
        stage="place_llm",
        cells=cells,
        trials=tuple(trial(number, cell.status) for number, cell in enumerate(cells, start=1)),
        duration_s=3.0,
    )


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("answer", list(PlaceClass))
def test_every_class_of_a_placement_is_told(answer: PlaceClass, lang: str) -> None:
    found = placement(answer)
    assert from_json(Placement, to_json(found)) == found
    text = render_document(place_document(found, lang))
    assert place_headline(found, lang) in text.replace("\\", "")
    assert text.count("\n|") >= len(found.table)
    assert "Tesla T4" in text
    assert "opt-125m" not in text  # the configuration is in the record; what was in force on the device is shown
    assert ("llm.embed.weight" in text) == (answer is not PlaceClass.NOTHING_FAILS)


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("answer", list(IsolateAnswer))
def test_every_conclusion_of_an_isolation_is_told(answer: IsolateAnswer, lang: str) -> None:
    found = isolation(answer)
    assert from_json(Isolation, to_json(found)) == found
    text = render_document(isolate_document(found, lang))
    assert isolate_headline(found, lang) in text
    assert all(cell.trial in text for cell in found.cells)
    assert "2.00 MiB" in text


def test_a_conclusion_names_the_stage_only_where_the_cells_share_one() -> None:
    found = isolation(IsolateAnswer.LANGUAGE_MODEL)
    assert "placing the language model" in isolate_headline(found, "en")
    assert "stage" not in isolate_headline(replace(found, stage=""), "en")
