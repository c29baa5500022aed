"""Reading pickles that strangers made, without running what they say.

A pickle is a program: it names functions and calls them. `restricted_load` runs that program in a room whose only
doors the caller built: each global the pickle asks for is looked up in an allow-list, or replaced by an inert `Bag`
that records what it was given, or refused by name. Before anything runs, the byte stream is walked once, which closes
what `Unpickler.find_class` never sees: extension codes (their cache bypasses it), memo indices made to exhaust
memory, lengths beyond the file.

Two rules for whoever fills `allowed`: an entry is called with arguments the file chose, so it must check them; and
never lend a general tool (`getattr`, `eval`, `operator.*`, `functools.partial`, numpy's own `dtype` and `scalar`:
`NUMPY_SCALARS` holds safe ones). What remains unbounded is time: a small hostile file can still make hashing slow.
"""

from ilora.safe_pickle.bags import Bag, PlainDict, bag_type
from ilora.safe_pickle.errors import BrokenPickleError, GlobalName, PickleRefusedError
from ilora.safe_pickle.scalars import NUMPY_SCALARS, DtypeBag
from ilora.safe_pickle.scan import MAX_PICKLE_BYTES, list_globals
from ilora.safe_pickle.unpickler import restricted_load

__all__ = [
    "MAX_PICKLE_BYTES",
    "NUMPY_SCALARS",
    "Bag",
    "BrokenPickleError",
    "DtypeBag",
    "GlobalName",
    "PickleRefusedError",
    "PlainDict",
    "bag_type",
    "list_globals",
    "restricted_load",
]
