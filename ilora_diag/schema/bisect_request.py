"""BisectRequest: an investigation as it was asked for, kept in the run folder so that it can be gone on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Settings
from ilora_diag.schema.trial_request import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectRequest:
    """What to investigate, and how far.

    Attributes:
        target, config, overrides, script, script_args, script_is_module, device, torch_version: as in TrialRequest.
        base: namespaced settings of the failing configuration beside these: `env.NAME`, `device.NAME`.
        only, skip: names of factors; empty `only` takes all.
        factors_file: YAML with a user's own factors; empty: none.
        mode: "fast" or "full".
        alpha: error probability for flaky failures.
        exact: failures are the same only with the same stage and frame, too.
        max_trials, max_seconds: budget; 0 has no limit.
        trial_deadline_s: of one trial; 0 is chosen from the first.
        max_steps: optimizer steps of a trial; 0: until one step after the first failure.
        example: name of the shipped example this is; empty for none.
    """

    SCHEMA: ClassVar[str] = "bisect-request"

    target: Target
    config: str = ""
    overrides: tuple[str, ...] = ()
    script: str = ""
    script_args: tuple[str, ...] = ()
    script_is_module: bool = False
    device: str
    torch_version: str = ""
    base: Settings = ()
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    factors_file: str = ""
    mode: str = "fast"
    alpha: float = 0.05
    exact: bool = False
    max_trials: int = 0
    max_seconds: float = 0.0
    trial_deadline_s: float = 0.0
    max_steps: int = 0
    example: str = ""

    def __post_init__(self) -> None:
        require(self.mode in ("fast", "full"), f"mode is fast or full, got {self.mode}")
        require(0 < self.alpha < 1, f"alpha lies between 0 and 1, got {self.alpha}")
        require(self.max_trials >= 0 and self.max_seconds >= 0 and self.max_steps >= 0, "limits are not negative")
