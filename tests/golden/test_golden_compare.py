"""Comparisons and archives told in every form: rewritten by `make golden`, and the diff is reviewed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ilora_diag.compare.compare import compare
from ilora_diag.compare.subject import subject_of
from ilora_diag.schema import Estimate
from ilora_diag.schema.bisect import Bisect
from ilora_diag.schema.bundle import Bundle, BundleFile, LeftOut
from reports.blocks import Document
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.bundle import bundle_document
from reports.view.compare import compare_document

Check = Callable[[str, str], None]
LANGUAGES = ("en", "ja")


def _both_forms(golden: Check, name: str, lang: str, document: Document) -> None:
    golden(f"{name}.{lang}.md", render_document(document))
    golden(f"{name}.{lang}.txt", TerminalRenderer(lang, width=100).render_document(document))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_two_estimates(lang: str, fixed_estimates: dict[str, Estimate], golden: Check) -> None:
    a, b = (subject_of(fixed_estimates[name]) for name in ("opt", "tight"))
    assert a is not None
    assert b is not None
    found = compare(a, b, paths=("runs/opt", "runs/tight"), tolerance=0.01)
    _both_forms(golden, "compare-estimates", lang, compare_document(found, lang, top=8))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_two_investigations(lang: str, fixed_bisects: dict[str, Bisect], golden: Check) -> None:
    a, b = (subject_of(fixed_bisects[name]) for name in ("batch", "allocator"))
    assert a is not None
    assert b is not None
    found = compare(a, b, paths=("runs/batch", "runs/allocator"), tolerance=0.01)
    _both_forms(golden, "compare-bisects", lang, compare_document(found, lang, top=8))


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("checked", [True, False])
def test_an_archive(checked: bool, lang: str, golden: Check) -> None:
    replaced = (("path", 12), ("secret", 1))
    bundle = Bundle(
        run_id="20251121-030100-7f3c",
        created_at=1_763_694_060.0,
        tool_version="0.1.0",
        files=(
            BundleFile(
                path="bisect.json", size_bytes=147_335, sha256="0" * 64, redactions=(("path", 12), ("secret", 1))
            ),
            BundleFile(path="report.md", size_bytes=26_758, sha256="1" * 64, redactions=()),
        ),
        left_out=(
            LeftOut(path="predictions.jsonl", reason="data", size_bytes=5_820),
            LeftOut(path="trials/T-01/stdout.txt", reason="output", size_bytes=0),
        ),
        redactions=replaced,
        checked=checked,
    )
    _both_forms(golden, "bundle" if checked else "bundle-preview", lang, bundle_document(bundle, lang))
