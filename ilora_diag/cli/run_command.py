"""What `ilora-diag run` does once its options are read."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.sizes import optional_size
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.run_script import ScriptRequest, ScriptResult, ScriptRunError, run_script_process
from ilora_diag.schema import ScriptEnd, ScriptRun, Unavailable, to_json
from reports.view.run import run_document
from reports.write import MARKDOWN_NAME, write_run

_EXIT = {
    "usage": ExitCode.USAGE,
    "no device": ExitCode.PRECONDITION,
    "timed out": ExitCode.DEADLINE,
    "stopped": ExitCode.INTERRUPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What was typed, sizes still as text."""

    command: tuple[str, ...]
    module: str | None = None
    device: str = "cuda"
    memory: str | None = None
    torch: str | None = None
    max_steps: int | None = None
    as_json: bool = False
    out: Path | None = None
    deadline_s: float | None = None


def run_command(options: RunOptions, *, lang: Lang | None) -> ExitCode:
    """Run, show, and say how it went.

    Raises:
        CommandError: nothing was run, or its report cannot be written.
    """
    language = chosen_lang(lang, os.environ)
    request = _request(options)
    if options.out is not None and options.out.exists() and not options.out.is_dir():
        raise CommandError(f"--out {options.out} is a file: name a folder", ExitCode.USAGE)
    try:
        result = run_script_process(request)
    except ScriptRunError as error:
        raise CommandError(str(error), _EXIT.get(error.kind, ExitCode.FAILURE)) from error
    if options.as_json:
        emit(to_json(result.run, indent=2))
    else:
        emit(_on_terminal(result.run, language, written=options.out is not None))
    if options.out is not None:
        _write(result.run, options.out, language)
    return exit_code(result)


def exit_code(result: ScriptResult) -> ExitCode:
    """What the end of a script is to the shell."""
    run = result.run
    if result.timed_out:
        return ExitCode.DEADLINE
    if result.stopped or run.end is ScriptEnd.INTERRUPTED:
        return ExitCode.INTERRUPTED
    if run.end is ScriptEnd.NOT_CARRIED:
        return ExitCode.INCONCLUSIVE
    if run.end not in (ScriptEnd.FINISHED, ScriptEnd.STOPPED):
        return ExitCode.FAILURE
    if isinstance(run.estimate, Unavailable):
        return ExitCode.OK
    if isinstance(run.estimate.fits, Unavailable):
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK if run.estimate.fits else ExitCode.FAILURE


def _request(options: RunOptions) -> ScriptRequest:
    command, module = options.command, options.module
    if module is None and command[:1] == ("-m",):
        module, command = (command[1] if len(command) > 1 else ""), command[2:]
    if module is None and not command:
        raise CommandError("expected a script: ilora-diag run [OPTIONS] -- SCRIPT.py ARGS...", ExitCode.USAGE)
    if module == "":
        raise CommandError("-m needs the name of a module", ExitCode.USAGE)
    script, args = (module, command) if module is not None else (command[0], command[1:])
    _check(script, is_module=module is not None)
    _check_device(options)
    return ScriptRequest(
        script=script,
        is_module=module is not None,
        args=args,
        device=options.device,
        memory_bytes=optional_size("--memory", options.memory),
        torch_version=options.torch,
        max_steps=options.max_steps,
        deadline_s=options.deadline_s,
    )


def _check(script: str, *, is_module: bool) -> None:
    if is_module:
        top = script.partition(".")[0]
        if not Path(top).exists() and not Path(f"{top}.py").exists() and importlib.util.find_spec(top) is None:
            raise CommandError(f"-m {script}: there is no module {top}", ExitCode.USAGE)
    elif not Path(script).exists():
        raise CommandError(f"{script}: no such file; expected a Python script", ExitCode.USAGE)


def _check_device(options: RunOptions) -> None:
    if options.device != "cuda":
        return
    for name, value in (("--memory", options.memory), ("--torch", options.torch)):
        if value is not None:
            raise CommandError(f"{name} is of a modelled card: say --device virtual:NAME with it", ExitCode.USAGE)


def _on_terminal(run: ScriptRun, lang: Lang, *, written: bool) -> str:
    """The run as text; what a report folds away is shown where none is written."""
    return on_terminal(run_document(run, lang.value), lang, brief=True, unfold=not written)


def _write(run: ScriptRun, folder: Path, lang: Lang) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_run(run, folder, lang.value)
    except OSError as error:
        raise CommandError(f"--out {folder} cannot be written: {error}", ExitCode.USAGE) from error
    note(f"written: {folder / MARKDOWN_NAME}")
