"""Looking at a pickle's opcodes without running them."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from ilora.safe_pickle.errors import BrokenPickleError, GlobalName, PickleRefusedError

MAX_PICKLE_BYTES = 256 << 20
"""Longer streams are refused by default. An opcode of one byte costs at most about 100 bytes of objects."""

_OPCODES = {op.name: op for op in pickletools.opcodes}
_CODE = {name: ord(op.code) for name, op in _OPCODES.items()}
_ARGUMENT_WIDTH = {ord(op.code): op.arg.n if op.arg else 0 for op in pickletools.opcodes}
_COUNT = {
    pickletools.TAKEN_FROM_ARGUMENT1: struct.Struct("<B"),
    pickletools.TAKEN_FROM_ARGUMENT4: struct.Struct("<i"),
    pickletools.TAKEN_FROM_ARGUMENT4U: struct.Struct("<I"),
    pickletools.TAKEN_FROM_ARGUMENT8U: struct.Struct("<Q"),
}
_EXTENSIONS = frozenset(_CODE[name] for name in ("EXT1", "EXT2", "EXT4"))
_TWO_LINES = frozenset(_CODE[name] for name in ("GLOBAL", "INST"))
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


def read_limited(file: BinaryIO, max_bytes: int, source: str) -> bytes:
    """The rest of `file`.

    Raises:
        PickleRefusedError: it is longer than `max_bytes`.
    """
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise PickleRefusedError(source, f"is longer than {max_bytes} bytes", f"streams up to {max_bytes} bytes")
    return data


def inspect(data: bytes, source: str) -> None:
    """Refuse what `Unpickler.find_class` cannot see: extension codes and memo indices that exhaust memory.

    Raises:
        PickleRefusedError: such an opcode.
        BrokenPickleError: an unknown opcode, or an argument that reaches beyond the data.
    """
    long_put, put = _CODE["LONG_BINPUT"], _CODE["PUT"]
    for code, start, end in _walk(data, source):
        if code in _EXTENSIONS:
            raise PickleRefusedError(source, "uses copyreg extension codes", "globals spelled out by name")
        if code in (long_put, put):
            index = int.from_bytes(data[start:end], "little") if code == long_put else _decimal(data[start:end])
            # An honest index counts the PUTs before it, two bytes each; the unpickler allocates slots up to it.
            if index > len(data):
                raise PickleRefusedError(source, f"asks for {index} memo slots", "one slot per byte of the stream")


def list_globals(file: BinaryIO, *, max_bytes: int = MAX_PICKLE_BYTES, source: str | None = None) -> set[GlobalName]:
    """Every global the pickle names, found by reading it, not by running it.

    A name that the pickle computes at run time appears as `("?", "?")`.

    Raises:
        PickleRefusedError: longer than `max_bytes`.
        BrokenPickleError: truncated or damaged.
    """
    name = source or str(getattr(file, "name", "<pickle>"))
    data = read_limited(file, max_bytes, name)
    try:
        return set(_named_globals(data))
    except (ValueError, LookupError, EOFError) as error:
        raise BrokenPickleError(f"{name}: damaged pickle ({error})") from error


def _walk(data: bytes, source: str) -> Iterator[tuple[int, int, int]]:
    """(opcode, start of its argument, end of its argument) until STOP.

    `pickletools.genops` does this too, but decodes every argument, which takes several times as long.
    """
    position, size, stop = 0, len(data), _CODE["STOP"]
    while position < size:
        code = data[position]
        width = _ARGUMENT_WIDTH.get(code)
        if width is None:
            raise BrokenPickleError(f"{source}: damaged pickle (unknown opcode {code:#04x} at byte {position})")
        start = position + 1
        end = start + width if width >= 0 else _argument_end(data, code, start, width)
        if end > size:
            break
        yield code, start, end
        if code == stop:
            return
        position = end
    raise BrokenPickleError(f"{source}: truncated pickle ({size} bytes)")


def _argument_end(data: bytes, code: int, start: int, width: int) -> int:
    """Where a variable argument ends; beyond the data if it does not fit."""
    beyond = len(data) + 1
    if width == pickletools.UP_TO_NEWLINE:
        end = data.find(b"\n", start)
        if code in _TWO_LINES and end >= 0:
            end = data.find(b"\n", end + 1)
        return end + 1 if end >= 0 else beyond
    count = _COUNT[width]
    if start + count.size > len(data):
        return beyond
    length: int = count.unpack_from(data, start)[0]
    return start + count.size + length if length >= 0 else beyond


def _decimal(text: bytes) -> int:
    digits = text.strip()
    return int(digits) if digits.isdigit() and len(digits) < 20 else 1 << 64


def _named_globals(data: bytes) -> Iterator[GlobalName]:
    """Follow the strings on the unpickler's stack, as far as STACK_GLOBAL needs them."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for op, arg, _ in pickletools.genops(data):
        value = arg if isinstance(arg, str) and "UNICODE" in op.name else None
        if op.name in ("GLOBAL", "INST"):
            module, _, name = str(arg).partition(" ")
            yield module, name
        elif op.name == "STACK_GLOBAL":
            module, name = stack[-2], stack[-1]
            yield (module, name) if isinstance(module, str) and isinstance(name, str) else ("?", "?")
        elif op.name in _PUTS or op.name == "MEMOIZE":
            memo[len(memo) if op.name == "MEMOIZE" else int(str(arg))] = stack[-1]
            continue
        elif op.name in _GETS:
            value = memo[int(str(arg))]
        elif op.name == "DUP":
            stack.append(stack[-1])
            continue
        _apply(op, value, stack)


def _apply(op: pickletools.OpcodeInfo, value: Any, stack: list[Any]) -> None:
    """Pop and push as the opcode's own description says; only strings keep their value."""
    mark = pickletools.markobject
    num_popped = len(op.stack_before)
    if mark in op.stack_before:
        while stack.pop() is not mark:
            pass
        num_popped = op.stack_before.index(mark)
    if num_popped > len(stack):
        raise ValueError(f"{op.name} finds too little on the stack")
    del stack[len(stack) - num_popped :]
    stack.extend(mark if kind is mark else value for kind in op.stack_after)
