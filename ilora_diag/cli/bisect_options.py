"""From what was typed after `bisect-oom` to a request, each mistake with what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ilora.config import ConfigError, check_device, load_config
from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.sizes import typed_size
from ilora_diag.engine.bisect.examples import EXAMPLE_CONFIG, EXAMPLES
from ilora_diag.hardware.gpus import UnknownGpu, find_gpu
from ilora_diag.schema.bisect_request import BisectRequest
from ilora_diag.schema.known import Settings, Value
from ilora_diag.schema.trial_request import Target

VIRTUAL = "virtual:"
# What a driver makes where there is a card: on Linux, and under WSL.
_NODES = ("/dev/nvidiactl", "/dev/dxg")
_MINUTES = re.compile(r"(\d+(?:\.\d+)?) ?(min|s|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectOptions:
    """What was typed, sizes and lists still as text."""

    overrides: tuple[str, ...] = ()
    script: tuple[str, ...] = ()
    is_module: bool = False
    config: str | None = None
    device: str = "auto"
    memory: str | None = None
    others: str | None = None
    vmm: bool = True
    torch: str | None = None
    example: str | None = None
    mode: str | None = None
    factors: str | None = None
    skip: str | None = None
    factors_file: Path | None = None
    exact: bool = False
    alpha: float = 0.05
    budget: str | None = None
    max_steps: int | None = None
    trial_deadline_s: float | None = None
    plan: bool = False
    run_dir: Path | None = None
    resume: Path | None = None
    as_json: bool = False


def request_of(options: BisectOptions) -> BisectRequest:
    """The request.

    Raises:
        CommandError: with what is allowed.
    """
    if options.example is not None:
        return _example(options)
    device = _device(options.device)
    env, overrides = _split(options.overrides)
    base = (*env, *_card(options, device))
    if options.script:
        _check_script(options)
    else:
        _check_config(options, overrides, device)
    trials, seconds = _budget(options.budget)
    if not 0 < options.alpha < 1:
        raise CommandError(f"--alpha {options.alpha:g}: allowed is a number between 0 and 1", ExitCode.USAGE)
    return BisectRequest(
        target=Target.SCRIPT if options.script else Target.CONFIG,
        config=options.config or "",
        overrides=overrides,
        script=options.script[0] if options.script else "",
        script_args=options.script[1:],
        script_is_module=options.is_module,
        device=device,
        torch_version=options.torch or "",
        base=base,
        only=_names(options.factors),
        skip=_names(options.skip),
        factors_file=str(options.factors_file or ""),
        mode=options.mode or "fast",
        alpha=options.alpha,
        exact=options.exact,
        max_trials=trials,
        max_seconds=seconds,
        trial_deadline_s=options.trial_deadline_s or 0.0,
        max_steps=options.max_steps or 0,
    )


def _example(options: BisectOptions) -> BisectRequest:
    if options.overrides or options.script or options.config:
        given = " ".join((*options.overrides, *options.script)) or f"--config {options.config}"
        raise CommandError(f"--example {options.example} is complete by itself: leave out {given}", ExitCode.USAGE)
    example = EXAMPLES[str(options.example)]
    # On another device the configuration is the same, and what was planted on the virtual card is not there.
    device = example.device if options.device == "auto" else _device(options.device)
    is_planted = device.startswith(VIRTUAL)
    base = tuple((key, value) for key, value in example.base if is_planted or not key.startswith("device."))
    trials, seconds = _budget(options.budget)
    return BisectRequest(
        target=Target.CONFIG,
        config=EXAMPLE_CONFIG,
        overrides=example.overrides,
        device=device,
        base=base,
        only=_names(options.factors),
        skip=_names(options.skip),
        mode=options.mode or "full",
        max_trials=trials,
        max_seconds=seconds,
        example=example.name,
    )


def _device(asked: str) -> str:
    if asked == "auto":
        if any(Path(node).exists() for node in _NODES):
            return "cuda"
        text = (
            "--device auto: there is no CUDA device here. To investigate on a modelled card, type --device virtual:t4"
        )
        raise CommandError(text, ExitCode.PRECONDITION)
    if asked in ("cuda", "cpu"):
        return asked
    if not asked.startswith(VIRTUAL):
        raise CommandError(f"--device {asked}: allowed is auto, cuda, cpu or {VIRTUAL}NAME", ExitCode.USAGE)
    try:
        find_gpu(asked.removeprefix(VIRTUAL))
    except UnknownGpu as error:
        raise CommandError(f"--device {asked}: {error}", ExitCode.USAGE) from error
    return asked


def _split(overrides: tuple[str, ...]) -> tuple[Settings, tuple[str, ...]]:
    """`env.NAME=VALUE` apart from the settings of the configuration."""
    env: list[tuple[str, Value]] = []
    rest = []
    for text in overrides:
        key, joined, value = text.partition("=")
        if key.startswith("env.") and joined and key != "env.":
            env.append((key, value))
        else:
            rest.append(text)
    return tuple(dict(env).items()), tuple(rest)


def _card(options: BisectOptions, device: str) -> Settings:
    """What the virtual card is like; a real one cannot be told."""
    found: list[tuple[str, Value]] = []
    for option, key, text in (
        ("--memory", "device.memory_bytes", options.memory),
        ("--other-processes", "device.other_bytes", options.others),
    ):
        if text is not None:
            found.append((key, typed_size(option, text)))
    if not options.vmm:
        found.append(("device.vmm", False))
    if found and not device.startswith(VIRTUAL):
        option = {"device.memory_bytes": "--memory", "device.other_bytes": "--other-processes"}.get(
            found[0][0], "--no-vmm"
        )
        raise CommandError(f"{option} is for a virtual card, and --device is {device}", ExitCode.USAGE)
    return tuple(found)


def _check_script(options: BisectOptions) -> None:
    others = [text for text in options.overrides if not text.startswith("env.")]
    if others or options.config:
        what = others[0] if others else f"--config {options.config}"
        raise CommandError(
            f"{what} is of a configuration, and a script stands behind `--`: a script takes its own arguments, and "
            "env.NAME=VALUE before `--`",
            ExitCode.USAGE,
        )
    if not options.is_module and not Path(options.script[0]).is_file():
        raise CommandError(f"{options.script[0]}: there is no such file. Type: -- SCRIPT.py ARGS", ExitCode.USAGE)


def _check_config(options: BisectOptions, overrides: tuple[str, ...], device: str) -> None:
    if options.is_module:
        raise CommandError("-m goes with a module's name behind `--`", ExitCode.USAGE)
    try:
        config = load_config(overrides, file=options.config)
        check_device(config, "cpu" if device == "cpu" else "cuda")
    except ConfigError as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    if config.stage != "teacher":
        text = "allowed is teacher: a trial is a step of the teacher's training"
        raise CommandError(f"stage={config.stage}: {text}", ExitCode.USAGE)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))


def _budget(text: str | None) -> tuple[int, float]:
    """Trials and seconds; 0 has no limit."""
    trials, seconds = 0, 0.0
    for part in filter(None, (one.strip() for one in (text or "").split(","))):
        match = _MINUTES.fullmatch(part)
        if match and float(match[1]) > 0:
            seconds = float(match[1]) * _SECONDS[match[2]]
        elif part.isdigit() and int(part) > 0:
            trials = int(part)
        else:
            raise CommandError(
                f"--budget {part}: allowed is a number of trials, a time such as 15min, or both: 30,15min",
                ExitCode.USAGE,
            )
    return trials, seconds


def with_budget(request: BisectRequest, budget: str | None) -> BisectRequest:
    """The same request with the budget typed now: an earlier one is spent, or was none."""
    trials, seconds = _budget(budget)
    return replace(request, max_trials=trials, max_seconds=seconds)
