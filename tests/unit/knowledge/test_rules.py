"""The rule language: three values, devices, versions."""

from __future__ import annotations

import pytest

from ilora_diag.knowledge.rules import RuleError, facts_lookup, holds, parse_rule
from ilora_diag.schema import Fact, Facts, Unavailable, Value

FACTS: dict[str, Value | Unavailable] = {
    "driver.kmod": "550.54.14",
    "driver.libcuda": "535.104.12",
    "env.CUDA_VISIBLE_DEVICES": None,
    "env.EMPTY": "",
    "torch.version": "2.9.1+cu128",
    "gpu[0].mig_mode": "disabled",
    "gpu[1].mig_mode": "enabled",
    "gpu[0].vmm_supported": Unavailable(reason="not collected"),
    "os.wsl": False,
    "kernel_log.xid": (13, 79),
    "shm.free_bytes": 1000,
    "shm.total_bytes": 67108864,
}


@pytest.mark.parametrize(
    ("rule", "truth"),
    [
        ("driver.kmod = '550.54.14'", True),
        ("driver.kmod != driver.libcuda", True),
        ("driver.kmod <v '560'", True),
        ("driver.kmod >=v '550.54'", True),
        ("driver.kmod <v '9'", False),
        ("env.CUDA_VISIBLE_DEVICES = null", True),
        ("env.CUDA_VISIBLE_DEVICES ~ '-1'", False),
        ("env.EMPTY = ''", True),
        ("torch.version ~ '\\+cu12'", True),
        ("gpu[*].mig_mode = 'enabled'", True),
        ("gpu[*].vmm_supported", None),
        ("! gpu[*].vmm_supported", None),
        ("os.wsl", False),
        ("! os.wsl", True),
        ("os.wsl & gpu[*].vmm_supported", False),
        ("os.wsl | gpu[*].vmm_supported", None),
        ("kernel_log.xid = 79", True),
        ("kernel_log.xid = 48", False),
        ("shm.free_bytes < shm.total_bytes", True),
        ("shm.free_bytes < 10", False),
        ("nothing.there = 1", None),
        ("driver.kmod > 5", None),
        ('driver.kmod ~ "^550"', True),
        ("(os.wsl | os.tegra) & os.wsl", False),
    ],
)
def test_a_rule_is_true_false_or_undecided(rule: str, truth: bool | None) -> None:
    facts = Facts(captured_at=1.0, facts=tuple(Fact(path=p, value=v, source="test") for p, v in FACTS.items()))
    assert holds(rule, facts_lookup(facts)).truth is truth


def test_a_verdict_names_what_it_used_and_what_it_lacks() -> None:
    facts = Facts(captured_at=1.0, facts=(Fact(path="os.wsl", value=True, source="test"),))
    verdict = holds("os.wsl & os.tegra", facts_lookup(facts))
    assert (verdict.truth, verdict.used, verdict.missing) == (None, [("os.wsl", True)], ["os.tegra"])


@pytest.mark.parametrize(
    "rule", ["", "os.wsl =", "os.wsl & ", "(os.wsl", "os.wsl os.tegra", "= 3", "os.wsl ? 3", "'text'"]
)
def test_a_rule_that_makes_no_sense_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(rule)
