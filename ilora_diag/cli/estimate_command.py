"""What `ilora-diag estimate` does once its options are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ilora_diag.cli.exit_codes import CommandError, ExitCode
from ilora_diag.cli.show import on_terminal
from ilora_diag.cli.sizes import optional_size
from ilora_diag.cli.streams import Lang, chosen_lang, emit, note
from ilora_diag.engine.estimate_run import EstimateError, EstimateRequest, run_estimate_process
from ilora_diag.schema import Estimate, Unavailable, to_json
from reports.blocks import Document
from reports.view.estimate import estimate_beginning, estimate_document
from reports.write import MARKDOWN_NAME, write_estimate

NO_ANSWER = {
    "usage": ExitCode.USAGE,
    "refused": ExitCode.INCONCLUSIVE,
    "timed out": ExitCode.DEADLINE,
    "stopped": ExitCode.INTERRUPTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateOptions:
    """What was typed, sizes still as text."""

    overrides: tuple[str, ...] = ()
    config: str | None = None
    gpus: str
    memory: str | None = None
    torch: str | None = None
    observed: str | None = None
    knobs: bool = True
    as_json: bool = False
    out: Path | None = None
    deadline_s: float | None = None


def run_estimate(options: EstimateOptions, *, lang: Lang | None) -> ExitCode:
    """Estimate, show, and say whether the first card is enough.

    Raises:
        CommandError: there is no estimate, or it cannot be written.
    """
    language = chosen_lang(lang, os.environ)
    observed = optional_size("--observed", options.observed)
    request = EstimateRequest(
        overrides=options.overrides,
        config=options.config,
        gpus=options.gpus,
        memory_bytes=optional_size("--memory", options.memory),
        torch_version=options.torch,
        knobs=options.knobs,
        deadline_s=options.deadline_s,
    )
    _check_out(options.out)
    typed = (*(("--config", options.config) if options.config else ()), *options.overrides)

    def as_asked(found: Estimate) -> Estimate:
        return replace(found, typed=typed, observed_bytes=observed)

    screen = _Screen(language, as_asked)
    try:
        found = run_estimate_process(request, None if options.as_json else screen.early)
    except EstimateError as error:
        raise CommandError(str(error), NO_ANSWER.get(error.kind, ExitCode.FAILURE)) from error
    asked = as_asked(found)
    if options.as_json:
        emit(to_json(asked, indent=2))
    else:
        screen.show(asked)
    if options.out is not None:
        _write(asked, options.out, language)
    return exit_code(asked)


def exit_code(found: Estimate) -> ExitCode:
    """What the answer for the first card is to the shell."""
    if isinstance(found.fits, Unavailable):
        return ExitCode.INCONCLUSIVE
    return ExitCode.OK if found.fits else ExitCode.FAILURE


def _check_out(folder: Path | None) -> None:
    """Refuse a folder that cannot be one before anything is computed."""
    if folder is not None and folder.exists() and not folder.is_dir():
        raise CommandError(f"--out {folder} is a file: name a folder", ExitCode.USAGE)


class _Screen:
    """stdout: the answer for the cards as soon as it is known, what changes would buy when that is."""

    def __init__(self, lang: Lang, asked: Callable[[Estimate], Estimate]) -> None:
        self._lang, self._asked = lang, asked
        self._num_shown = 0

    def early(self, found: Estimate) -> None:
        """The cards, while the rest is looked into."""
        self._begin(self._asked(found))
        note("what changes would buy, and the largest batches ...")

    def _begin(self, asked: Estimate) -> None:
        if self._num_shown:
            return
        beginning = estimate_beginning(asked, self._lang.value)
        self._num_shown = len(beginning.blocks)
        self._emit(Document(title="", lang=self._lang.value, sections=(beginning,)))

    def show(self, asked: Estimate) -> None:
        """Everything else."""
        self._begin(asked)
        document = estimate_document(asked, self._lang.value)
        answer, *rest = document.sections
        untold = replace(answer, blocks=answer.blocks[self._num_shown :])
        self._emit(replace(document, sections=(untold, *rest)))

    def _emit(self, document: Document) -> None:
        emit(on_terminal(document, self._lang, brief=True))


def _write(found: Estimate, folder: Path, lang: Lang) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_estimate(found, folder, lang.value)
    except OSError as error:
        raise CommandError(f"--out {folder} cannot be written: {error}", ExitCode.USAGE) from error
    note(f"written: {folder / MARKDOWN_NAME}")
