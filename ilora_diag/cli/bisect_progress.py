"""Progress of an investigation on stderr: a line a trial, and a sign of life while one takes long."""

from __future__ import annotations

import time
from collections.abc import Callable

from ilora_diag.cli.progress import HEARTBEAT_EVERY_S
from ilora_diag.cli.streams import note
from ilora_diag.engine.bisect.oracle import Told
from ilora_diag.schema.bisect import Factor
from ilora_diag.units import format_duration
from reports.messages import Words
from reports.view.bisect_live import factors_line, trial_line


class Progress:
    """The listener of an investigation.

    Args:
        lang: "en" or "ja".
        write: receives each line.
        clock: monotonic seconds.
    """

    def __init__(
        self, lang: str, write: Callable[[str], None] = note, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._words, self._write, self._clock = Words(lang), write, clock
        self._factors: tuple[Factor, ...] = ()
        self._last_line = self._last_trial = clock()

    def told(self, told: Told) -> None:
        """A trial ended."""
        self._line(trial_line(told.step, told.trial, self._factors, self._words))
        self._last_trial = self._clock()

    def pulse(self) -> None:
        """Time passes while a trial runs."""
        if self._clock() - self._last_line >= HEARTBEAT_EVERY_S:
            waited = format_duration(self._clock() - self._last_trial)
            self._line(self._words("bisect.live.waiting", waited=waited))

    def note(self, text: str) -> None:
        """Something worth a line."""
        self._line(text)

    def factors(self, factors: tuple[Factor, ...]) -> None:
        """What will be searched."""
        self._factors = factors
        self._line(factors_line(factors, self._words))

    def stopping(self) -> None:
        """A stop was asked for."""
        self._line(self._words("bisect.live.stopping"))

    def _line(self, text: str) -> None:
        self._write(text)
        self._last_line = self._clock()
