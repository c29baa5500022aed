"""Judgement: facts and an error text in, findings out. Pure: no I/O, no clock, no environment."""

from __future__ import annotations

from ilora_diag.checks.case import Case
from ilora_diag.checks.judging import case_of, judge, judge_case
from ilora_diag.checks.layers import sections

__all__ = ["Case", "case_of", "judge", "judge_case", "sections"]
