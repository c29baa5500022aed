"""Which trials of a placement are run, and what they come to; what a table of the two models comes to."""

from __future__ import annotations

import itertools

import pytest

from ilora_diag.bisect.isolation import conclude
from ilora_diag.bisect.placement import tell_apart
from ilora_diag.engine.isolate_run import combinations
from ilora_diag.engine.place_run import EXPANDABLE, flipped
from ilora_diag.schema.isolate import IsolateAnswer, IsolateCell
from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.place import Leaf, PlaceClass, PlaceMode, PlaceOutcome, PlaceTry
from ilora_diag.schema.trial import ErrorFamily, FailureSignature, Status

P, F, U = PlaceOutcome.PASSES, PlaceOutcome.FAILS, PlaceOutcome.UNKNOWN
M = PlaceMode
NONE = Unavailable(reason="not asked")


def leaf(name: str = "llm.embed", size: int = 100 << 20) -> Leaf:
    return Leaf(name=name, kind="parameter", dtype="float32", shape=(size // 4,), size_bytes=size, is_contiguous=True)


def row(mode: PlaceMode, outcome: PlaceOutcome, *, at: Leaf | None = None, moved: int = 0) -> PlaceTry:
    return PlaceTry(
        mode=mode,
        outcome=outcome,
        trial="T-01",
        leaf=at,
        num_moved=1,
        moved_bytes=moved,
        allocated_bytes=NONE,
        reserved_bytes=NONE,
    )


WALK = row(M.WALK, F, at=leaf(), moved=1000 << 20)
REVERSED = row(M.REVERSED, F, at=leaf("item_head"), moved=960 << 20)


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        ({M.FIRST_TOUCH: F, M.ALLOCATOR: P}, PlaceClass.ALLOCATOR),
        ({M.FIRST_TOUCH: F, M.ALLOCATOR: F}, PlaceClass.FIRST_TOUCH),
        ({M.FIRST_TOUCH: F, M.ALLOCATOR: U}, PlaceClass.FIRST_TOUCH),
        ({M.FIRST_TOUCH: U}, PlaceClass.UNDECIDED),
        ({M.FIRST_TOUCH: P, M.ALONE: F, M.RANDOM: P}, PlaceClass.TENSOR_SPECIFIC),
        ({M.FIRST_TOUCH: P, M.ALONE: F, M.RANDOM: F}, PlaceClass.SIZE_OR_DTYPE),
        ({M.FIRST_TOUCH: P, M.ALONE: F, M.RANDOM: U}, PlaceClass.UNDECIDED),
        ({M.FIRST_TOUCH: P, M.ALONE: P, M.REVERSED: F, M.ALLOCATOR: F}, PlaceClass.CUMULATIVE),
        ({M.FIRST_TOUCH: P, M.ALONE: P, M.REVERSED: F, M.ALLOCATOR: P}, PlaceClass.ALLOCATOR),
        ({M.FIRST_TOUCH: P, M.ALONE: P, M.REVERSED: P, M.ALLOCATOR: F}, PlaceClass.UNDECIDED),
        ({M.FIRST_TOUCH: P, M.ALONE: U}, PlaceClass.UNDECIDED),
    ],
)
def test_five_trials_at_the_most_tell_the_classes_apart(
    outcomes: dict[PlaceMode, PlaceOutcome], answer: PlaceClass
) -> None:
    asked = []

    def run(mode: PlaceMode) -> PlaceTry:
        asked.append(mode)
        return REVERSED if mode is M.REVERSED and outcomes[mode] is F else row(mode, outcomes[mode])

    found, rows = tell_apart(WALK, run)
    assert found is answer
    assert asked == list(outcomes)  # each once, and none whose answer would change nothing
    assert len(rows) <= 5


def test_the_same_tensor_in_both_orders_is_no_sum() -> None:
    again = row(M.REVERSED, F, at=leaf(), moved=10 << 20)
    found, _ = tell_apart(
        WALK, lambda mode: again if mode is M.REVERSED else row(mode, F if mode is M.ALLOCATOR else P)
    )
    assert found is PlaceClass.TENSOR_SPECIFIC


@pytest.mark.parametrize(("outcome", "answer"), [(P, PlaceClass.NOTHING_FAILS), (U, PlaceClass.UNDECIDED)])
def test_a_walk_that_does_not_fail_needs_no_trials(outcome: PlaceOutcome, answer: PlaceClass) -> None:
    def none(mode: PlaceMode) -> PlaceTry:
        raise AssertionError(mode)

    assert tell_apart(row(M.WALK, outcome), none) == (answer, ())


def test_the_opposite_setting_is_none_or_expandable_segments() -> None:
    names = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
    assert flipped(dict.fromkeys(names)) == {names[0]: EXPANDABLE, names[1]: None}
    assert flipped({names[0]: None, names[1]: "max_split_size_mb:64"}) == dict.fromkeys(names)


def cells(fails: set[str], *, stage: str = "place_rec", has_checkpoint: bool = True) -> tuple[IsolateCell, ...]:
    """Cells of which those fail whose words are all in one of `fails`: "rec checkpoint", "both rec_first"."""
    made = []
    for number, one in enumerate(combinations(has_checkpoint=has_checkpoint), start=1):
        words = {one.components, one.load_order, one.rec_weights}
        failing = any(set(pattern.split()) <= words for pattern in fails)
        signature = FailureSignature(family=ErrorFamily.CUDA_DRIVER, stage=stage, top_frame=NONE, code="not supported")
        where = stage
        if stage == "first":
            first_is_rec = one.components == "rec" or one.load_order == "rec_first"
            where = "place_rec" if first_is_rec else "place_llm"
        made.append(
            IsolateCell(
                trial=f"T-{number:02d}",
                components=one.components,
                load_order=one.load_order,
                rec_weights=one.rec_weights,
                status=Status.OTHER if failing else Status.OK,
                failed_in=where if failing else "",
                stages=(),
                peak_allocated_bytes=NONE,
                peak_reserved_bytes=NONE,
                signature=signature if failing else NONE,
                error_text="",
            )
        )
    return tuple(made)


@pytest.mark.parametrize(
    ("fails", "stage", "answer"),
    [
        (set(), "place_rec", IsolateAnswer.NOTHING_FAILS),
        ({"rec", "both"}, "place_rec", IsolateAnswer.RECOMMENDER),
        ({"rec checkpoint", "both checkpoint"}, "place_rec", IsolateAnswer.RECOMMENDER_WEIGHTS),
        ({"llm", "both"}, "place_llm", IsolateAnswer.LANGUAGE_MODEL),
        ({"llm", "rec", "both"}, "first", IsolateAnswer.FIRST_TOUCH),
        ({"llm", "rec", "both"}, "backward", IsolateAnswer.BOTH_ALONE),
        ({"both"}, "forward", IsolateAnswer.TOGETHER),
        ({"both rec_first"}, "place_llm", IsolateAnswer.ORDER),
    ],
)
def test_the_conclusion_follows_from_the_cells(fails: set[str], stage: str, answer: IsolateAnswer) -> None:
    found, shared = conclude(cells(fails, stage=stage))
    assert found is answer
    assert shared == ("" if not fails or stage == "first" else stage)


def test_without_a_checkpoint_there_are_four_cells_and_else_seven() -> None:
    assert [len(combinations(has_checkpoint=one)) for one in (False, True)] == [4, 7]
    assert conclude(cells({"rec", "both"}, has_checkpoint=False))[0] is IsolateAnswer.RECOMMENDER


def test_a_cell_that_could_not_be_run_leaves_no_conclusion() -> None:
    some = cells({"rec"})
    assert conclude(some[:0])[0] is IsolateAnswer.INCONCLUSIVE
    import dataclasses

    for status in (Status.INVALID, Status.SKIPPED, Status.TIMED_OUT, Status.INTERRUPTED, Status.GARBLED):
        broken = (*some[:-1], dataclasses.replace(some[-1], status=status))
        assert conclude(broken)[0] is IsolateAnswer.INCONCLUSIVE


def test_every_table_of_the_two_models_has_an_answer() -> None:
    atoms = ("llm", "rec checkpoint", "rec random", "both llm_first", "both rec_first")
    for num in range(len(atoms) + 1):
        for fails in itertools.combinations(atoms, num):
            answer, _ = conclude(cells(set(fails)))
            assert (answer is IsolateAnswer.NOTHING_FAILS) == (not fails)
