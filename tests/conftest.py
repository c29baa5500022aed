"""Fixtures every test folder may use."""

from __future__ import annotations

import runpy
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from ilora_diag.schema import Estimate
from ilora_diag.schema.bisect import Bisect

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope="session")
def heard_interrupts() -> Iterator[None]:
    """Ctrl-C as a person at a terminal would press it: a shell that runs tests in the background has it ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets and recordings; absent on a fresh machine."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared data folder is not here ({folder.name} beside the checkout)")
    return folder


@pytest.fixture(scope="session")
def fixed_estimates() -> dict[str, Estimate]:
    """Records of estimates by name; the module that builds them is no test and lies on no import path."""
    built: dict[str, Estimate] = runpy.run_path(str(ROOT / "tests" / "estimates.py"))["fixed_estimates"]()
    return built


@pytest.fixture(scope="session")
def fixed_bisects() -> dict[str, Bisect]:
    """Records of investigations by name, loaded as the estimates are."""
    built: dict[str, Bisect] = runpy.run_path(str(ROOT / "tests" / "bisects.py"))["fixed_bisects"]()
    return built


@pytest.fixture(scope="session")
def bisections() -> SimpleNamespace:
    """Records of investigations with their folders (`tests/bisections.py`), loaded as the estimates are."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "bisections.py")))


@pytest.fixture(scope="session")
def recordings() -> SimpleNamespace:
    """Makers of memory snapshots (`tests/recordings.py`), loaded as the estimates are."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "tests" / "recordings.py")))
