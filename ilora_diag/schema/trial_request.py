"""TrialRequest: what the observer asks of one trial process. Everything in it decides the outcome, nothing else may.

Settings are flat and namespaced by their first word:

* `train.batch_size`, `llm.preset`, ... keys of the trainer's configuration;
* `env.NAME` an environment variable; None removes it. The process is *started* with it, it is never set afterwards;
* `device.memory_bytes`, `device.other_bytes`, `device.vmm` the virtual card: its size, what other processes hold on it,
  whether its driver has virtual memory management;
* `parts.NAME` structure that the configuration has no key for (`ilora_diag.bisect.catalogue.PARTS`);
* `apply.NAME` an intervention from outside on code that we do not own (`ilora_diag.bisect.catalogue.INTERVENTIONS`);
* `arg.NAME` the value of a command-line option of a script, `arg.--batch-size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from ilora_diag.schema.errors import require
from ilora_diag.schema.known import Settings, Value, require_sizes, require_unique

NAMESPACES = ("env", "device", "parts", "apply", "arg")
"""First words of keys that are none of the trainer's."""


class Stage(StrEnum):
    """What a trial is doing, in the order of a run."""

    IMPORT = "import"
    CUDA_INIT = "cuda_init"
    LOAD = "load"  # on the host: configuration, language model, recommender
    PLACE_LLM = "place_llm"
    PLACE_REC = "place_rec"
    DATA = "data"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    STEP_2 = "step_2"
    STEP_3 = "step_3"
    VALIDATION = "validation"
    DONE = "done"


STAGES = tuple(Stage)


class Target(StrEnum):
    """What is tried: a configuration of our trainer, or somebody's script."""

    CONFIG = "config"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRequest:
    """One trial, complete.

    Attributes:
        id: the trial's, as in the journal.
        target: what is tried.
        config: YAML file or preset under a configuration; empty: the default preset.
        overrides: `key=value` texts of the configuration, as typed.
        script, script_args, script_is_module: the script and its command line.
        device: `cpu`, `cuda` or `virtual:NAME`.
        torch_version: whose rules the virtual card follows; empty: the installed one's.
        settings: what this trial sets on top of configuration or script; later than both.
        steps: optimizer steps to run at the most, 3 to see growth.
        stop_after: the last stage that needs to be run; DONE runs everything.
        watch: interventions whose opportunities are to be counted without applying them; empty counts none.
        growth_steps: steps over which live bytes are followed for what stays from step to step; 0 looks for nothing.
        seed: of everything random.
    """

    SCHEMA: ClassVar[str] = "trial-request"

    id: str
    target: Target
    config: str = ""
    overrides: tuple[str, ...] = ()
    script: str = ""
    script_args: tuple[str, ...] = ()
    script_is_module: bool = False
    device: str
    torch_version: str = ""
    settings: Settings = ()
    steps: int = 3
    stop_after: Stage = Stage.DONE
    watch: tuple[str, ...] = ()
    growth_steps: int = 0
    seed: int = 1234

    def __post_init__(self) -> None:
        require(bool(self.id), "a request has an id")
        require(bool(self.device), "a request names a device")
        require(bool(self.script) == (self.target is Target.SCRIPT), "a script stands with the target script alone")
        require_sizes(steps=self.steps, growth_steps=self.growth_steps)
        require_unique("setting", tuple(key for key, _ in self.settings))

    def in_namespace(self, word: str) -> dict[str, Value]:
        """The settings of one namespace, without its word."""
        start = f"{word}."
        return {key.removeprefix(start): value for key, value in self.settings if key.startswith(start)}

    def trainer_settings(self) -> Settings:
        """The settings that are keys of the trainer's configuration."""
        return tuple((key, value) for key, value in self.settings if key.partition(".")[0] not in NAMESPACES)
