"""env-check in every form, against reviewed renders: incident 1, a healthy machine, one without a card, ranks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.diagnosis_cases import HEALTHY, facts_of
from ilora_diag.checks.env import check_env, compare_ranks
from ilora_diag.knowledge.reading import read_error
from ilora_diag.schema import Unavailable, Value, to_json
from ilora_diag.schema.env_check import EnvCheck
from ilora_diag.schema.known import Known
from reports.markdown import render_document
from reports.terminal import TerminalRenderer
from reports.view.env_check import env_document
from reports.view.env_ranks import ranks_document

ERROR = "RuntimeError: CUDA driver error: operation not supported\n"
GUEST: dict[str, Known[Value]] = {
    "os.name": "Ubuntu 22.04.4 LTS",
    "container.kind": "docker",
    "driver.version": "535.104.05",
    "gpu[0].name": "GRID A100-40C",
    "gpu[0].virtualization_mode": "vgpu",
    "gpu[0].vmm_supported": Unavailable(reason="not collected", source="cuDeviceGetAttribute"),
    "torch.version": "2.3.0+cu121",
    "torch.cuda_build": "12.1",
    "env.PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "shm.total_bytes": 64 << 20,
}
BARE: dict[str, Known[Value]] = {
    "os.name": "Debian GNU/Linux 12",
    "os.wsl": False,
    "os.tegra": False,
    "pci.num_nvidia_gpus": 0,
    "driver.kmod": None,
    "torch.version": "2.13.0+cpu",
    "torch.cuda_build": None,
    "shm.total_bytes": 8 << 30,
}


@pytest.fixture(scope="module")
def checks() -> dict[str, EnvCheck]:
    return {
        "incident1": check_env(facts_of(GUEST), read_error(ERROR)),
        "healthy": check_env(facts_of(HEALTHY)),
        "no-card": check_env(facts_of(BARE)),
        "undecided": check_env(facts_of({**HEALTHY, "cuda.init_code": 2})),
    }


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("name", ["incident1", "healthy", "no-card", "undecided"])
def test_terminal_and_markdown(
    name: str, lang: str, checks: dict[str, EnvCheck], golden: Callable[[str, str], None]
) -> None:
    document = env_document(checks[name], lang)
    golden(f"env-{name}.{lang}.txt", TerminalRenderer(lang).render_document(document))
    golden(f"env-{name}.{lang}.md", render_document(document))


def test_verbose(checks: dict[str, EnvCheck], golden: Callable[[str, str], None]) -> None:
    document = env_document(checks["incident1"], "en", verbose=True)
    golden("env-incident1.verbose.en.txt", TerminalRenderer("en").render_document(document))


def test_json(checks: dict[str, EnvCheck], golden: Callable[[str, str], None]) -> None:
    golden("env-incident1.json", to_json(checks["incident1"], indent=1) + "\n")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_ranks(lang: str, golden: Callable[[str, str], None]) -> None:
    other = {**HEALTHY, "torch.version": "2.6.0+cu126", "gpu[1].memory_used_bytes": 60 << 30, "os.kernel": "6.8.0"}
    check = compare_ranks((("0", facts_of(HEALTHY)), ("1", facts_of(other))))
    golden(f"env-ranks.{lang}.txt", TerminalRenderer(lang).render_document(ranks_document(check, lang)))


def test_nothing_is_cut_off_in_a_narrow_terminal(checks: dict[str, EnvCheck]) -> None:
    shown = TerminalRenderer("ja", width=40).render_document(env_document(checks["incident1"], "ja", verbose=True))
    assert "\u2026" not in shown
    assert "export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:False" in shown
