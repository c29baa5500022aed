"""The observer of a training: starts the trainer, follows its run log, and journals how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

from ilora_diag.engine.events import RUNLOG_NAME, Event
from ilora_diag.engine.journal import JOURNAL_NAME, Journal
from ilora_diag.engine.outcome import ChildSpec, Grace, python_argv
from ilora_diag.engine.run_folder import PreparedRun
from ilora_diag.engine.runlog import EFFECTIVE_NAME, RunlogTail, read_train_run
from ilora_diag.engine.runner import run_child
from ilora_diag.engine.stop_request import stop_on_signal
from ilora_diag.engine.trials import train_trial
from ilora_diag.schema import Intent, Trial

_VIRTUAL = "virtual:"
# A checkpoint of a large model takes its time; asking twice hurries.
_GRACE = Grace(interrupt_s=120.0, terminate_s=60.0)


class Listener(Protocol):
    """Who is told of a training while it goes on."""

    def take(self, events: Iterable[Event]) -> None:
        """New events, often none: also the pulse by which time is seen to pass."""

    def stopping(self) -> None:
        """A stop was asked for; the trainer has been told and may be saving."""


def trainer_argv(run: PreparedRun, device: str) -> tuple[str, ...]:
    """The command line of our trainer; `virtual:NAME` runs it behind the model of that card."""
    config, folder = str(run.folder / EFFECTIVE_NAME), str(run.folder)
    resume = ("--resume",) if run.resumed else ()
    common = ("--config", config, "--run-dir", folder)
    if device.startswith(_VIRTUAL):
        return python_argv("probes.train_virtual", *common, "--gpu", device.removeprefix(_VIRTUAL), *resume)
    return python_argv("ilora.train", *common, "--device", device, *resume)


def watch(run: PreparedRun, argv: tuple[str, ...], listener: Listener, *, deadline_s: float | None = None) -> Trial:
    """Run a trainer to its end and journal it.

    Args:
        run: prepared.
        argv: the trainer's command line; it writes `runlog.jsonl` into the run folder.
        listener: told of events; what it raises is not allowed to end a training, and silences it.
        deadline_s: seconds after which the trainer is asked to end.

    Returns:
        The trial, as it stands in the journal.

    Raises:
        JournalError: another process writes into this run folder.
        OSError: the journal cannot be written.
    """
    spec = ChildSpec(argv=argv, deadline_s=deadline_s, expects_document=False, grace=_GRACE)
    tail = RunlogTail(run.folder / RUNLOG_NAME)
    tail.poll()  # what an earlier attempt wrote is not news
    with Journal(run.folder / JOURNAL_NAME) as journal:
        intent = Intent(id=journal.next_id(), probe="train", requested=run.requested, started_at=time.time())
        journal.announce(intent)
        with stop_on_signal(listener.stopping) as stop:
            relay = _Relay(tail, listener)

            def poll() -> bool:
                relay.pass_on()
                return stop.made

            outcome = run_child(spec, poll)
        relay.pass_on()
        trial = train_trial(intent, outcome, read_train_run(run.folder), journal=RUNLOG_NAME)
        journal.record(trial)
    return trial


class _Relay:
    """Hands events from the log to the listener."""

    def __init__(self, tail: RunlogTail, listener: Listener) -> None:
        self._tail, self._listener = tail, listener
        self._silenced = False

    def pass_on(self) -> None:
        if self._silenced:
            return
        try:
            self._listener.take(self._tail.poll())
        except Exception:  # noqa: BLE001 - a display that fails must not cost anybody a training
            self._silenced = True
