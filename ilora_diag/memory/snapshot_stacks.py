"""What a recorded stack says: which operator allocated, and which line of the program asked for it.

Stacks hold Python frames, C++ frames (with `stacks="all"`), both, or nothing: an allocation made by autograd's own
threads has no Python frame, one made while recording was off has none at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from ilora_diag.memory.snapshot_frames import FrameDict

NO_FRAMES = "(no stack recorded)"
_MAX_FRAMES = 12

# An operator's entry point in the dispatcher, as `torchgen` names it.
_OPERATOR = re.compile(r"\bat::_ops::(\w+)::(?:call|redispatch)\b")
# Operators that only make room for another one's result.
_ROOM = re.compile(r"(?:new_)?empty(?:_\w+)?|resize_\w*|set_\w*")
_NODE = re.compile(r"\btorch::autograd::(?:generated::)?(\w+Backward\d*|AccumulateGrad)\b")
_CPP_FILE = re.compile(r"(?:^|\?\?|\.(?:c|cc|cpp|cxx|cu|cuh|h|hpp|inc|def|S|o|a|so(?:\.\d+)*))$")
_LIBRARY = re.compile(r".*[/\\](?:site-packages|dist-packages)[/\\](.+)$")
_STDLIB = re.compile(r".*[/\\][Ll]ib(?:[/\\]python[\d.]+)?[/\\]([\w/\\]+\.py)$")
# Libraries that only pass on what the program asks of PyTorch: the line of interest is the one that called them.
_PASSING = (
    "torch/",
    "einops/",
    "einx/",
    "opt_einsum/",
    "jaxtyping/",
    "beartype/",
    "copy.py",
    "contextlib.py",
    "functools.py",
)
_WINDOWS_HOME = re.compile(r"[A-Za-z]:\\Users\\[^\\]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an allocation came from.

    Attributes:
        op: innermost operator (`aten::mul_Tensor`) where C++ frames tell, else the innermost Python function.
        site: `file:line function` of the innermost frame outside PyTorch and the libraries that only pass calls on to
            it; what is known instead where there is none.
        frames: the Python frames outside PyTorch, innermost first.
    """

    op: str
    site: str
    frames: tuple[str, ...]


def origin_of(frames: Sequence[FrameDict]) -> Origin:
    """What a stack (innermost frame first) says."""
    if not frames:
        return Origin(NO_FRAMES, NO_FRAMES, ())
    python = [frame for frame in frames if _is_python(frame)]
    own = [frame for frame in python if not is_torch(frame) and not _is_startup(frame)]
    return Origin(_op(frames, python), _site(frames, python, own), tuple(_shown(frame) for frame in own[:_MAX_FRAMES]))


def is_torch(frame: FrameDict) -> bool:
    """Whether a Python frame belongs to PyTorch itself."""
    return short_path(frame["filename"]).startswith("torch/")


def is_optimizer(frame: FrameDict) -> bool:
    """Whether a frame shows that an optimizer steps."""
    path = short_path(frame["filename"])
    return (
        path.startswith("torch/optim/") and path != "torch/optim/lr_scheduler.py" and "zero_grad" not in frame["name"]
    )


@cache
def short_path(filename: str) -> str:
    """A file as people name it: below site-packages, below the standard library, else its last two parts."""
    for pattern in (_LIBRARY, _STDLIB):
        found = pattern.match(filename)
        if found:
            return found[1].replace("\\", "/")
    return "/".join([part for part in re.split(r"[/\\]", filename) if part][-2:]) or filename


def _is_python(frame: FrameDict) -> bool:
    return frame["line"] > 0 and _CPP_FILE.search(frame["filename"]) is None


def _is_startup(frame: FrameDict) -> bool:
    return frame["filename"].startswith("<frozen ") or short_path(frame["filename"]) in ("runpy.py", "threading.py")


def _op(frames: Sequence[FrameDict], python: Sequence[FrameDict]) -> str:
    first = ""
    for name in _operators(frames):
        if not _ROOM.fullmatch(name):
            return f"aten::{name}"
        first = first or name
    node = _node(frames)
    if first and not node:
        return f"aten::{first}"
    if python:
        return f"{python[0]['name']} ({short_path(python[0]['filename'])})"
    return node or frames[0]["name"].partition("(")[0] or NO_FRAMES


def _operators(frames: Sequence[FrameDict]) -> Iterator[str]:
    for frame in frames:
        found = _OPERATOR.search(frame["name"])
        if found:
            yield found[1]


def _node(frames: Sequence[FrameDict]) -> str:
    return next((found[1] for frame in frames if (found := _NODE.search(frame["name"]))), "")


def _site(frames: Sequence[FrameDict], python: Sequence[FrameDict], own: Sequence[FrameDict]) -> str:
    if own:
        asking = (frame for frame in own if not short_path(frame["filename"]).startswith(_PASSING))
        return _place(next(asking, own[0]))
    if python:
        return _place(python[0])
    node = _node(frames)
    if node:
        return f"(backward: {node})"
    if any("torch::autograd::Engine" in frame["name"] for frame in frames):
        return "(backward: no Python frame)"
    return "(no Python frame)"


def _place(frame: FrameDict) -> str:
    return f"{short_path(frame['filename'])}:{frame['line']} {frame['name']}"


def _shown(frame: FrameDict) -> str:
    """A frame in full, without the home folder that a Windows path begins with."""
    path = _WINDOWS_HOME.sub("~", frame["filename"])
    library = _LIBRARY.match(frame["filename"])
    return f"{library[1] if library else path}:{frame['line']} {frame['name']}".replace("\\", "/")
