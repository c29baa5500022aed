"""The report that the README shows holds: what it says is what today's code makes of its trials."""

from __future__ import annotations

from pathlib import Path

from ilora_diag.engine.bisect_check import check_bisect


def test_the_report_of_the_incident_holds(repo_root: Path) -> None:
    assert check_bisect(repo_root / "docs" / "incident-oom") == ()
