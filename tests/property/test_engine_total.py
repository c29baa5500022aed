"""What reads foreign text answers, whatever the text is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ilora_diag.engine.events import parse_event
from ilora_diag.engine.runlog import begin_train_run
from ilora_diag.engine.signature import signature_of
from ilora_diag.schema import FailureSignature, TrainRun, Unavailable, from_json, to_json

moderate = settings(max_examples=60, deadline=None)

PIECES = (
    "Traceback (most recent call last):\n",
    '  File "/a/b.py", line 1, in f\n',
    "    x()\n",
    "ValueError: v\n",
    "KeyboardInterrupt\n",
    "CUDA out of memory. Tried to allocate 1.00 GiB.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
    "[rank0]: ",
    "\x1b[31m",
    "\n",
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=10), max_size=12).map("".join)

KEYS = ("t", "step", "epoch", "loss", "phase", "status", "device", "name", "value", "low", "high", "rows", "bad_rows")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["begin", "end"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    [
        "phase",
        "environment",
        "data",
        "model",
        "train_begin",
        "step",
        "val_loss",
        "rec_epoch",
        "metric",
        "checkpoint",
        "artefact",
        "warning",
        "interrupted",
        "error",
        "finished",
        "eval_progress",
        "unheard_of",
    ]
)


@moderate
@given(text=texts, signal=st.none() | st.sampled_from(["SIGKILL", "SIGSEGV"]))
def test_every_text_has_a_signature(text: str, signal: str | None) -> None:
    found = signature_of(text, stage=Unavailable(reason="r"), signal=signal)
    assert isinstance(found, FailureSignature)
    assert len(found.code) <= 200
    assert found == signature_of(text, stage=Unavailable(reason="r"), signal=signal)


@moderate
@given(line=st.binary(max_size=40))
def test_every_line_is_an_event(line: bytes) -> None:
    assert parse_event(line, 1).line == 1


@moderate
@given(events=st.lists(st.tuples(names, st.dictionaries(st.sampled_from(KEYS), values, max_size=5)), max_size=8))
def test_any_events_make_a_record_that_can_be_saved(events: list[tuple[str, dict[str, Any]]]) -> None:
    builder = begin_train_run(Path("no-such-run"))
    lines = (json.dumps({"event": name, **fields}).encode() for name, fields in events)
    builder.take(parse_event(line, number) for number, line in enumerate(lines, start=1))
    run = builder.build()
    assert run.run_id == "no-such-run"
    assert from_json(TrainRun, to_json(run)) == run
