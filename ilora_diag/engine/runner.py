"""Running a child that may do anything: hang, crash, babble, leave processes behind. Never raises on its account.

The child leads its own session and process group. It is handed the write end of a pipe, whose number stands in the
environment variable ILORA_DIAG_RESULT_FD, and answers with exactly one JSON object on it; stdout and stderr are kept
apart, boundedly, for people to read. The particulars:

* The document is what was written until the child ended or closed the descriptor, whichever came first. Whether a
  descendant still holds the descriptor makes no difference.
* Closing the descriptor early ends the document, not the child: it may go on until its deadline.
* Nothing after the object, more than `max_document_bytes`, and JSON other than an object make it GARBLED.
* A deadline is enforced by SIGTERM, then SIGKILL; a stop that a person asks for begins with SIGINT, so that a trainer
  can save its checkpoint. Asking again goes on to the next signal at once.
* When the child has ended, descendants that still run are ended too.
"""

from __future__ import annotations

import signal
import subprocess
import time

from ilora_diag.engine.launch import Launch, spawn
from ilora_diag.engine.outcome import Captured, ChildOutcome, ChildSpec, ChildStatus
from ilora_diag.engine.processes import Family, Waiter
from ilora_diag.engine.streams import BoundedBuffer, Drain, EchoBuffer
from ilora_diag.engine.supervise import Poll, Supervisor
from ilora_diag.schema.codec import parse
from ilora_diag.schema.errors import SchemaError
from ilora_diag.schema.known import Unavailable

_DRAIN_S = 2.0


def run_child(spec: ChildSpec, poll: Poll | None = None, launch: Launch = spawn) -> ChildOutcome:
    """Run a child to its end, however it ends.

    A KeyboardInterrupt while it runs is taken as a stop request, not raised.

    Args:
        spec: what to run, and how long.
        poll: called about every 0.2 s while it runs; True asks it to stop.
        launch: starts the process; by default a new one of the spec's command.
    """
    started_at, clock, family = time.time(), time.monotonic(), Family()
    document = BoundedBuffer(spec.max_document_bytes, 0)
    kept = EchoBuffer if spec.echo else BoundedBuffer
    stdout, stderr = (kept(spec.keep_head_bytes, spec.keep_tail_bytes) for _ in range(2))
    try:
        started = launch(spec, family)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _not_started(spec, error, started_at)
    family.leader = started.pid
    drain, waiter = Drain(zip(started.pipes, (document, stdout, stderr), strict=True)), started.waiter
    supervisor = Supervisor(spec, family, waiter, clock)
    try:
        drain.start()
        waiter.start()
        supervisor.watch(poll)
    finally:
        if not waiter.ended.is_set():
            family.signal(signal.SIGKILL)
            waiter.ended.wait(spec.grace.kill_s)
        seconds = time.monotonic() - clock
        started.release(waiter.return_code)
        leftovers = _end_leftovers(spec, family, waiter)
        drain.finish(_DRAIN_S)
    text, trouble = _read_document(document)
    status, reason = _judge(spec, supervisor.ending, waiter, text, trouble)
    code = waiter.return_code if waiter.ended.is_set() else None
    return ChildOutcome(
        status=status,
        reason=reason,
        document=text,
        exit_code=code if code is not None and code >= 0 else None,
        signal=_signal_name(-code) if code is not None and code < 0 else None,
        stdout=stdout.captured(),
        stderr=stderr.captured(),
        started_at=started_at,
        seconds=seconds,
        peak_rss_bytes=waiter.peak_rss_bytes if code is not None else Unavailable(reason="the child did not end"),
        num_leftovers=leftovers,
        pid=started.pid,
    )


def _end_leftovers(spec: ChildSpec, family: Family, waiter: Waiter) -> int:
    if not waiter.ended.is_set():
        return 0  # its leader cannot be killed, and the others were signalled with it
    grace = spec.grace
    return family.end_leftovers(grace.leftover_s, grace.terminate_s, grace.kill_s)


def _read_document(buffer: BoundedBuffer) -> tuple[str | None, str]:
    """The document's text if it is one JSON object, and else what is wrong with it; empty if there is none at all."""
    if buffer.num_dropped_bytes:
        return None, f"the document has {buffer.num_bytes} bytes, more than the {buffer.keep_head_bytes} allowed"
    content = buffer.content()
    if not content.strip():
        return None, ""
    try:
        value = parse(content)
    except SchemaError as error:
        return None, f"the {error}"
    if not isinstance(value, dict):
        return None, f"the document is JSON, but a {type(value).__name__} and no object"
    return content.decode(), ""


def _judge(
    spec: ChildSpec, ending: ChildStatus | None, waiter: Waiter, text: str | None, trouble: str
) -> tuple[ChildStatus, str]:
    """Status and reason; the order is that of ChildStatus."""
    code = waiter.return_code
    if not waiter.ended.is_set():
        return ChildStatus.UNKILLABLE, "the process outlived SIGKILL and was left behind"
    if ending is ChildStatus.STOPPED:
        return ChildStatus.STOPPED, "stopped on request"
    if ending is ChildStatus.TIMED_OUT:
        return ChildStatus.TIMED_OUT, f"still running after its {spec.deadline_s:g} s"
    if code < 0:
        return ChildStatus.KILLED, f"killed by {_signal_name(-code)}"
    if code > 0:
        return ChildStatus.FAILED, f"exit code {code}"
    if trouble:
        return ChildStatus.GARBLED, trouble
    if text is None and spec.expects_document:
        return ChildStatus.SILENT, "ended well, but wrote no document"
    return ChildStatus.OK, "ended well"


def _not_started(spec: ChildSpec, error: Exception, started_at: float) -> ChildOutcome:
    return ChildOutcome(
        status=ChildStatus.NOT_STARTED,
        reason=f"cannot start {spec.argv[0]}: {error}",
        document=None,
        exit_code=None,
        signal=None,
        stdout=Captured(),
        stderr=Captured(),
        started_at=started_at,
        seconds=0.0,
        peak_rss_bytes=Unavailable(reason="nothing was started"),
        num_leftovers=0,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals between the two that have names
        return f"SIG{number}"
