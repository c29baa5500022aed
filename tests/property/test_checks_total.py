"""Judgement is total: whatever the facts hold, findings come, ranked, each with what its confidence demands."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.diagnosis_cases import HEALTHY, MUTATIONS, facts_of
from ilora_diag.checks.env import check_env
from ilora_diag.checks.judging import judge
from ilora_diag.schema import Severity, Unavailable, from_json, to_json
from ilora_diag.schema.env_check import EnvCheck

PATHS = sorted(
    {*HEALTHY, *(path for one in MUTATIONS for path in one.changes), "error.text", "import.notes", "os.uptime_s"}
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**63),
    st.sampled_from(
        [
            "",
            "ok",
            "ENOENT",
            "enabled",
            "vgpu",
            "12.8",
            "sm_90",
            "-1",
            "MIG-1",
            "535.104.05",
            "GRID A100-40C",
            "expandable_segments:True",
            "CUDA driver error: operation not supported",
            "CUDA out of memory. Tried to allocate 2.00 GiB.",
            "NVRM: Xid (PCI:0000:65:00): 79, GPU has fallen off the bus",
            "undefined symbol: _ZN3c10",
            "Error 802",
        ]
    ),
    st.text(max_size=20),
    st.lists(st.text(max_size=8), max_size=3).map(tuple),
    st.lists(st.integers(0, 200), max_size=3).map(tuple),
    st.sampled_from(["absent: x", "denied: x", "timed out: x", "not collected"]).map(
        lambda reason: Unavailable(reason=reason)
    ),
)
moderate = settings(max_examples=60, deadline=None)


@moderate
@given(st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=25), st.booleans())
def test_any_facts_are_judged(changes: dict[str, object], alone: bool) -> None:
    facts = facts_of({**({} if alone else HEALTHY), **changes})  # type: ignore[dict-item]
    findings = judge(facts)
    order = [list(Severity).index(one.severity) for one in findings]
    assert order == sorted(order)
    assert len({one.code for one in findings}) == len(findings)
    assert judge(facts) == findings


@moderate
@given(st.dictionaries(st.sampled_from(PATHS), VALUES, max_size=12))
def test_the_record_survives_json(changes: dict[str, object]) -> None:
    check = check_env(facts_of({**HEALTHY, **changes}))  # type: ignore[dict-item]
    assert from_json(EnvCheck, to_json(check)) == check


@moderate
@given(st.lists(st.sampled_from(PATHS), max_size=10, unique=True))
def test_unknown_leaves_break_nothing_and_accuse_nobody(paths: list[str]) -> None:
    lost = {path: Unavailable(reason="not collected") for path in paths if path in HEALTHY}
    assert judge(facts_of({**HEALTHY, **lost})) == ()
