"""Explanations as people see them, in both languages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ilora_diag.knowledge.explain import explain
from ilora_diag.knowledge.pages import find_page
from ilora_diag.knowledge.reading import read_error
from ilora_diag.schema import Fact, Facts
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.explain import explain_document
from reports.view.explain_page import page_document

INCIDENT = (
    'Traceback (most recent call last):\n  File "factory.py", line 80, in create\n    rec_model.to(device)\n'
    "RuntimeError: CUDA driver error: operation not supported\n"
)
OOM = (
    "[rank6]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.00 GiB. GPU 6 has a total capacity of "
    "79.14 GiB of which 2.09 GiB is free. Process 4711 has 1.10 GiB memory in use. Including non-PyTorch memory, this "
    "process has 75.94 GiB memory in use. Of the allocated memory 74.30 GiB is allocated by PyTorch, with 1.20 GiB "
    "allocated in private pools (e.g., CUDA Graphs), and 1.15 GiB is reserved by PyTorch but unallocated. If reserved "
    "but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.\n"
)
GUEST = (("env.PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"), ("gpu[0].virtualization_mode", "vgpu"))


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize(
    ("name", "text", "values"), [("incident", INCIDENT, GUEST), ("oom", OOM, ()), ("garbage", "\x00" * 4000, ())]
)
def test_an_explanation_looks_as_before(
    golden: Callable[[str, str], None], lang: str, name: str, text: str, values: tuple[tuple[str, str], ...]
) -> None:
    leaves = tuple(Fact(path=path, value=value, source="facts.json") for path, value in values)
    facts = Facts(captured_at=1.0, facts=leaves) if leaves else None
    document = explain_document(explain(read_error(text), facts, lang=lang))
    golden(f"explain/{name}.{lang}.txt", TerminalRenderer(lang).render_document(document))
    golden(f"explain/{name}.{lang}.md", render_document(document))


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_page_looks_as_before(golden: Callable[[str, str], None], lang: str) -> None:
    page = find_page("vmm_not_supported", lang)
    assert page is not None
    golden(f"explain/page.{lang}.txt", TerminalRenderer(lang).render_document(page_document(page)))
