"""The tables of signatures: complete, in both languages, each pattern true to its samples and quick on hostile text."""

from __future__ import annotations

import re
import time

import pytest

from ilora_diag.checks.categories import BY_CATEGORY
from ilora_diag.collect.vocabulary import find_leaf
from ilora_diag.knowledge.lookups import Named
from ilora_diag.knowledge.rules import Compare, Join, Path, Rule, parse_rule
from ilora_diag.knowledge.scan import scan_text
from ilora_diag.knowledge.signatures import compiled, load_signatures, named_rules

SIGNATURES = load_signatures()
DERIVED = re.compile(r"text|alloc_conf|gpu\.arch_in_build|oom\.\w+|captured\.\w+")


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda one: one.id)
def test_every_pattern_matches_its_samples_and_has_its_anchors_in_them(signature) -> None:
    assert signature.samples
    for sample in signature.samples:
        match = compiled(signature.pattern).search(sample)
        assert match is not None, sample
        assert any(anchor in match[0] or anchor in sample for anchor in signature.anchors), sample
        assert signature.id in {found.id for found in scan_text(sample).matches}, sample


def test_names_are_unique_and_references_exist() -> None:
    names = [one.id for one in SIGNATURES]
    assert len(set(names)) == len(names) >= 159
    for one in SIGNATURES:
        assert set(one.refines) <= set(names), one.id
        assert one.sticky in ("yes", "no", "depends", "n.a."), one.id
        assert one.rank in ("error", "warning", "generic"), one.id
        assert {cause.category for cause in one.causes} <= {*BY_CATEGORY, "unknown"}, one.id


def test_every_text_is_there_in_both_languages() -> None:
    for one in SIGNATURES:
        assert one.causes, one.id
        texts = [one.titles, one.fixes, *(cause.texts for cause in one.causes)]
        for pair in texts:
            english, japanese = dict(pair)["en"], dict(pair)["ja"]
            assert english, one.id
            assert english.isascii(), english
            assert japanese, one.id


def test_twelve_signatures_stay_marked_as_unverified() -> None:
    marked = {one.id for one in SIGNATURES if one.unverified}
    assert {"killed_137", "triton_no_cc", "invalid_value_1", "cublas_unsupported", "ckpt_mismatch", "accelerate_move",
            "bf16_unsupported", "peft_config_key", "rope_scaling", "zip_reader", "keys_mismatch",
            "loss_nan"} <= marked  # fmt: skip


def test_every_rule_can_be_read_and_asks_for_facts_of_the_vocabulary() -> None:
    rules = [*named_rules().values()]
    rules += [
        rule for one in SIGNATURES for cause in one.causes for rule in (cause.confirm, cause.suggest, cause.refute)
    ]
    for rule in filter(None, rules):
        expanded = re.sub(r"\$(\w+)", lambda match: f"({named_rules()[match[1]]})", rule)
        for path in _paths(parse_rule(expanded)):
            known = DERIVED.fullmatch(path) or find_leaf(path.replace("[*]", "[0]"))
            assert known, f"{path} in {rule}"


def test_without_facts_no_cause_that_needs_facts_is_decided() -> None:
    named = Named(None)
    for one in SIGNATURES:
        for cause in one.causes:
            for rule in filter(None, (cause.confirm, cause.suggest, cause.refute)):
                assert named.holds(rule).truth is None, (one.id, rule)


@pytest.mark.parametrize(
    "filler",
    [
        "CUDA error: ",
        "Error ",
        "(",
        "a" * 50,
        "found at least two devices, ",
        "loss: ",
        "DriverAPI::get()->nvml",
        "Xid ",
    ],
)
def test_no_pattern_is_slow_on_hostile_text(filler: str) -> None:
    text = (filler * 200_000)[:400_000]
    started = time.process_time()
    scan_text(text)
    assert time.process_time() - started < 10


def _paths(rule: Rule) -> set[str]:
    if isinstance(rule, Join):
        return set().union(*map(_paths, rule.parts))
    assert isinstance(rule, Compare)
    right = {rule.right.name} if isinstance(rule.right, Path) else set()
    return {rule.left.name} | right
