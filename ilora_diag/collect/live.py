"""Facts of this machine, now. Nothing that may hang or crash runs in this process.

Groups of collectors run side by side, each in a child with the same deadline: a hung driver costs one deadline and a
library that crashes costs what it alone could have told. What a child had found until then is kept.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ilora_diag.collect.child import GROUPS
from ilora_diag.collect.merge import GROUP_KEYS, Answer, merge, skipped_devices
from ilora_diag.collect.sheet import FAILED, NOT_COLLECTED, TIMED_OUT
from ilora_diag.engine.outcome import ChildOutcome, ChildSpec, ChildStatus, Grace, python_argv
from ilora_diag.engine.runner import run_child
from ilora_diag.schema import Fact, Facts, SchemaError, Unavailable, from_json

DEADLINE_S = 15.0
"""Of each group. A machine with eight cards and no persistence mode needs several seconds to initialise them."""

TORCH_DEADLINE_S = 90.0
"""Of each probe with torch: importing it from a cold disk takes most of that."""

_GRACE = Grace(interrupt_s=1.0, terminate_s=0.3, kill_s=1.0, leftover_s=0.2)
_SHALLOW = ("files", "devices", "nvml", "cuda")
_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF"
_EXPANDABLE = (("expandable_on", "expandable_segments:True"), ("expandable_off", "expandable_segments:False"))

COLLECTORS = tuple(name for group in _SHALLOW for name in GROUPS[group])
"""What `only` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One child: a name for its leaf `collect.NAME`, and how it is run."""

    name: str
    spec: ChildSpec
    journal: Path | None = None


def collect_facts(
    *,
    deep: bool = False,
    deadline_s: float = DEADLINE_S,
    only: Collection[str] | None = None,
    root: Path | None = None,
) -> Facts:
    """Everything that can be known of this machine.

    Args:
        deep: also what needs a CUDA context (hundreds of MiB of the card, for a moment), and torch in children.
            Devices in exclusive use or with less than 1 GiB free are left alone.
        deadline_s: of each group of collectors; they run side by side.
        only: names of `COLLECTORS`; None is all of them. What was not asked for is "not collected".
        root: a folder to look into instead of `/` for proc, sys, dev and etc.

    Returns:
        The facts. This never raises on the machine's account.

    Raises:
        ValueError: a name in `only` that is no collector, or a deadline that is not positive.
        KeyboardInterrupt: after the children were ended.
    """
    if unknown := set(only or ()) - set(COLLECTORS):
        raise ValueError(f"no collector is called {', '.join(sorted(unknown))}; there are {', '.join(COLLECTORS)}")
    if not deadline_s > 0:
        raise ValueError(f"a deadline is more than 0 s, got {deadline_s}")
    captured_at = time.time()
    with ExitStack() as stack:
        folder = _journal_folder(stack)
        tasks = []
        for group in _SHALLOW:
            names = [name for name in GROUPS[group] if only is None or name in only]
            if names:
                options = [option for name in names for option in ("--only", name)]
                tasks.append(_group_task(group, folder, root, deadline_s, options))
        answers = _run_all(tasks)
        facts = merge(answers)
        if deep and (only is None or "cuda_driver" in only):
            answers += _deep(facts, folder, root, deadline_s)
            facts = merge(answers)
    facts = (Fact(path="collect.deep", value=deep, source="collect_facts"), *facts)
    return Facts(captured_at=captured_at, facts=facts)


def _deep(facts: Sequence[Fact], folder: Path | None, root: Path | None, deadline_s: float) -> list[Answer]:
    """What needs a context: one child after the other, for each takes its part of the card."""
    skipped = skipped_devices(facts)
    answers = [Answer(group="skipped", facts=tuple(reason for reasons in skipped.values() for reason in reasons))]
    options = [option for ordinal in skipped for option in ("--skip", str(ordinal))]
    answers += _run_all([_group_task("cuda_deep", folder, root, deadline_s, options)])
    values = {fact.path: fact.value for fact in facts}
    torch = values.get("torch.version")
    if torch is None or isinstance(torch, Unavailable):
        return answers
    deadline_s = max(deadline_s, TORCH_DEADLINE_S)
    answers += _run_all([_torch_task("cuda_init", "tensor", deadline_s, options, ())])
    # A build without CUDA has no such allocator; one that tells nothing of its build is tried.
    has_cuda = values.get("torch.cuda_build", "") is not None
    for step, setting in _EXPANDABLE if has_cuda else ():
        # One name for all versions: the newer PYTORCH_ALLOC_CONF gives way to it.
        changes = ((_ALLOCATOR, setting), ("PYTORCH_ALLOC_CONF", None))
        answers += _run_all([_torch_task("allocator", step, deadline_s, [*options, "--step", step], changes)])
    return answers


def _group_task(group: str, folder: Path | None, root: Path | None, deadline_s: float, options: Sequence[str]) -> _Task:
    journal = None if folder is None else folder / f"{group}.jsonl"
    arguments = [group, *options]
    if journal is not None:
        arguments += ["--journal", str(journal)]
    if root is not None:
        arguments += ["--root", str(root)]
    argv = python_argv("ilora_diag.collect.child", *arguments)
    return _Task(name=group, spec=ChildSpec(argv=argv, deadline_s=deadline_s, grace=_GRACE), journal=journal)


def _torch_task(
    probe: str, step: str, deadline_s: float, options: Sequence[str], env: tuple[tuple[str, str | None], ...]
) -> _Task:
    argv = python_argv(f"probes.{probe}", *options)
    return _Task(name=f"torch_{step}", spec=ChildSpec(argv=argv, deadline_s=deadline_s, env=env, grace=_GRACE))


def _run_all(tasks: Sequence[_Task]) -> list[Answer]:
    """Run children side by side. A KeyboardInterrupt ends them all before it goes on."""
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=max(len(tasks), 1), thread_name_prefix="collect") as pool:
        futures = [pool.submit(run_child, task.spec, stop.is_set) for task in tasks]
        try:
            outcomes = [future.result() for future in futures]
        except BaseException:
            stop.set()
            raise
    return [_answer(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True)]


def _answer(task: _Task, outcome: ChildOutcome) -> Answer:
    """What a child found: its document, or else what stands in its journal and how it ended."""
    ending = f"collect.{task.name}"
    source = f"child process, {outcome.seconds:.1f} s"
    trouble = outcome.reason
    if outcome.document is not None:
        try:
            facts = from_json(Facts, outcome.document).facts
        except SchemaError as error:
            trouble = f"its answer is no record of facts: {error}"
        else:
            return Answer(group=task.name, facts=(*facts, Fact(path=ending, value="ok", source=source)))
    found, step = _read_journal(task.journal)
    reason = _reason(outcome, trouble, step)
    lost = [Fact(path=ending, value=Unavailable(reason=reason, source=source), source=source)]
    known = {fact.path for fact in found}
    missing = [path for path in GROUP_KEYS.get(task.name, ()) if path not in known]
    if step.startswith("open /dev/"):
        missing.insert(0, f"dev.{step.removeprefix('open /dev/')}")
    lost += [Fact(path=path, value=Unavailable(reason=reason, source=step), source=step) for path in missing]
    return Answer(group=task.name, facts=(*found, *lost))


def _reason(outcome: ChildOutcome, trouble: str, step: str) -> str:
    during = f" in {step}" if step else ""
    last = (outcome.stderr.text.strip().splitlines() or [""])[-1][:200]
    if outcome.status in (ChildStatus.TIMED_OUT, ChildStatus.UNKILLABLE):
        return f"{TIMED_OUT} {trouble}{during}"
    if outcome.status is ChildStatus.STOPPED:
        return f"{NOT_COLLECTED}: {trouble}"
    return f"{FAILED} {trouble}{during}" + (f"; it said: {last}" if last else "")


def _read_journal(path: Path | None) -> tuple[list[Fact], str]:
    """The leaves of a journal and the last step begun; a line cut off by a crash is left out."""
    facts: dict[str, Fact] = {}
    step = ""
    try:
        lines = path.read_bytes().splitlines() if path is not None else []
    except OSError:  # the child had not come as far as to make one
        lines = []
    for line in lines:
        try:
            entry = json.loads(line)
            if "step" in entry:
                step = str(entry["step"])
                continue
            document = {"schema": "ilora-diag/facts", "schema_version": "1.0", "captured_at": 0.0}
            for fact in from_json(Facts, json.dumps({**document, "facts": [entry["fact"]]})).facts:
                facts.setdefault(fact.path, fact)
        except (ValueError, KeyError, TypeError, SchemaError):
            continue
    return list(facts.values()), step


def _journal_folder(stack: ExitStack) -> Path | None:
    """A folder for journals; None on a machine where nothing can be written, which costs only what a crash loses."""
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ilora-diag-", ignore_cleanup_errors=True)))
    except OSError:
        return None
