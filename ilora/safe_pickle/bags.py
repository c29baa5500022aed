"""Inert objects a pickle may fill."""

from __future__ import annotations

from typing import Any, ClassVar

from ilora.safe_pickle.errors import GlobalName


class Bag:
    """An inert stand-in for a class we do not import: it keeps what the pickle gave it and does nothing.

    Attributes:
        origin: the global the pickle asked for.
        args: positional arguments of the call (REDUCE or NEWOBJ).
        kwargs: keyword arguments of the call (NEWOBJ_EX).
        state: what BUILD handed over (usually a dict), None before.
    """

    __slots__ = ("args", "kwargs", "state")

    origin: ClassVar[GlobalName] = ("ilora.safe_pickle", "Bag")
    args: tuple[object, ...]
    kwargs: dict[str, object]
    state: object

    def __new__(cls, *args: object, **kwargs: object) -> Bag:  # noqa: D102 - described by the class
        bag = super().__new__(cls)
        bag.args, bag.kwargs, bag.state = args, kwargs, None
        return bag

    # Its presence keeps BUILD from setting attributes, on bags and on the bag classes themselves.
    def __setstate__(self, state: object) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<bag for {'.'.join(self.origin)}>"


class PlainDict(dict[Any, Any]):
    """What `collections.OrderedDict` becomes: a dict that drops attributes (torch hangs `_metadata` on state dicts)."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore BUILD."""


def bag_type(module: str, name: str) -> type[Bag]:
    """A subclass of `Bag` that remembers which global it stands for."""
    return type("Bag", (Bag,), {"__slots__": (), "origin": (module, name), "__doc__": "Stand-in for a named global."})
