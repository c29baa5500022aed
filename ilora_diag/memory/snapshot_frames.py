"""Stacks of a snapshot: checked, and equal ones stored once.

A training step repeats a few thousand of them, and a file holds each many times.
"""

from __future__ import annotations

from typing import Any, TypedDict

from ilora_diag.memory.snapshot_errors import DamageError

_MAX_REMEMBERED = 1 << 16

_Key = tuple[tuple[str, int, str], ...]


class FrameDict(TypedDict):
    """A place in a program; C++ frames carry the file `??` and line 0."""

    filename: str
    line: int
    name: str


class Stacks:
    """Stacks by number; number 0 is "none recorded".

    Attributes:
        frames: number -> frames, innermost first.
    """

    __slots__ = ("_by_content", "_by_frames", "_kept", "frames")

    def __init__(self) -> None:
        self.frames: list[list[FrameDict]] = [[]]
        self._by_content: dict[_Key, int] = {}
        self._by_frames: dict[tuple[int, ...], int] = {}
        self._kept: list[list[FrameDict]] = []  # an id is only good for as long as its object lives

    def number(self, frames: Any, where: str) -> int:
        """The number of a stack, a new one for one not seen before.

        Raises:
            DamageError: not a list of frames.
        """
        if not frames:
            return 0
        if not isinstance(frames, list):
            raise DamageError(f"has frames of type {type(frames).__name__} in {where}; accepted: a list")
        # PyTorch makes a list for every event, of frames that it shares.
        identity = tuple(map(id, frames))
        known = self._by_frames.get(identity)
        if known is not None:
            return known
        key = _content(frames, where)
        number = self._by_content.setdefault(key, len(self.frames))
        if number == len(self.frames):
            self.frames.append(frames)
        if len(self._kept) == _MAX_REMEMBERED:  # a file that shares no frames: do not hold them all
            self._kept.clear()
            self._by_frames.clear()
        self._by_frames[identity] = number
        self._kept.append(frames)
        return number

    def is_still(self, number: int, frames: Any) -> bool:
        """Whether frames that were given a number before would be given it again."""
        if not frames:
            return number == 0
        try:
            return self._by_content.get(_content(frames, "")) == number
        except DamageError:
            return False


def _content(frames: list[Any], where: str) -> _Key:
    return tuple(_frame(frame, where) for frame in frames)


def _frame(frame: Any, where: str) -> tuple[str, int, str]:
    if not isinstance(frame, dict):
        raise DamageError(f"has a frame of type {type(frame).__name__} in {where}; accepted: a dict")
    filename, line, name = frame.get("filename"), frame.get("line"), frame.get("name")
    if not (isinstance(filename, str) and isinstance(line, int) and isinstance(name, str)):
        raise DamageError(f"has a frame in {where} without filename, line and name")
    return filename, line, name
