"""Files in the release's format, written here: torch zips of whole modules whose classes exist nowhere."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ilora.rec import ARCHITECTURES, CheckpointError, Recommender, SASRec, load_recommender

ARCHIVE_ROOT = "SASRec_val_0.7087_hr1_0.3000_lr0.001_seed_1234"


@dataclass(frozen=True)
class Global:
    """GLOBAL: a name for the unpickler to look up."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """REDUCE: function(*args), then BUILD if there is a state."""

    function: object
    args: tuple[object, ...] = ()
    state: object = None


@dataclass(frozen=True)
class New:
    """NEWOBJ and BUILD: an instance of a class with a state."""

    cls: Global
    state: object


@dataclass(frozen=True)
class Persistent:
    """BINPERSID: a reference out of the pickle."""

    pid: object


class Ordered(dict[Any, Any]):
    """Written as a collections.OrderedDict."""


class Storages(dict[str, bytes]):
    """Contents of the archive's data/N members, filled while a module is described."""

    def tensor(self, tensor: Tensor, location: str = "cuda:0") -> Call:
        """A tensor over a new storage of its own, saved from `location`."""
        key = str(len(self))
        self[key] = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        kinds = {torch.float32: "FloatStorage", torch.int64: "LongStorage"}
        storage = Persistent(("storage", Global("torch", kinds[tensor.dtype]), key, location, tensor.numel()))
        args = (storage, 0, tuple(tensor.shape), tensor.contiguous().stride(), False, Ordered())
        return Call(Global("torch._utils", "_rebuild_tensor_v2"), args)


def assemble_pickle(value: object) -> bytes:
    """A protocol 2 pickle of `value`."""
    return b"\x80\x02" + _opcodes(value) + b"."


def _opcodes(value: object) -> bytes:
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case Global():
            return f"c{value.module}\n{value.name}\n".encode()
        case Call():
            called = _opcodes(value.function) + _opcodes(value.args) + b"R"
            return called if value.state is None else called + _opcodes(value.state) + b"b"
        case New():
            return _opcodes(value.cls) + b")\x81" + _opcodes(value.state) + b"b"
        case Persistent():
            return _opcodes(value.pid) + b"Q"
        case tuple():
            return b"(" + b"".join(map(_opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_opcodes, value)) + b"e"
        case dict():
            made = _opcodes(Call(Global("collections", "OrderedDict"))) if isinstance(value, Ordered) else b"}"
            return made + b"(" + b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items()) + b"u"
    raise TypeError(f"no opcodes for {value!r}")


def numpy_int64(value: int) -> Call:
    """As numpy 1 pickles np.int64 under protocol 2: bytes travel as latin-1 text."""
    dtype = Call(Global("numpy", "dtype"), ("i8", False, True), (3, "<", None, None, None, -1, -1, 0))
    raw = Call(Global("_codecs", "encode"), (struct.pack("<q", value).decode("latin1"), "latin1"))
    return Call(Global("numpy.core.multiarray", "scalar"), (dtype, raw))


def described(module: nn.Module, storages: Storages, own_module: str = "__main__") -> New:
    """A module as torch.save pickles it: the class by name, everything else in its `__dict__`."""
    kind = type(module)
    name = kind.__name__
    origin = kind.__module__ if kind.__module__.startswith("torch.") else "SASRecModules_ori"
    state: dict[str, object] = {"training": True, "_buffers": Ordered(), "_backward_hooks": Ordered()}
    if isinstance(module, Recommender):
        origin = own_module
        state |= {
            "state_size": module.max_history,
            "hidden_size": module.hidden_size,
            "item_num": numpy_int64(module.num_items),
            "device": Call(Global("torch", "device"), ("cuda", 0)),
        }
    if isinstance(module, nn.Dropout):
        state["p"] = module.p
    if isinstance(module, nn.Embedding):
        state["num_embeddings"] = numpy_int64(module.num_embeddings)
    state["_parameters"] = Ordered(
        {
            key: Call(Global("torch._utils", "_rebuild_parameter"), (storages.tensor(value), True, Ordered()))
            for key, value in module.named_parameters(recurse=False)
        }
    )
    state["_modules"] = Ordered({key: described(child, storages, own_module) for key, child in module.named_children()})
    state["_non_persistent_buffers_set"] = Call(Global("__builtin__", "set"), ([],))
    return New(Global(origin, name), state)


@dataclass
class ReleaseFiles:
    """Writes files into a folder and gives their paths; also the door to what a pickle is assembled from."""

    folder: Path

    def named(self, module: str, name: str) -> Global:
        """A global."""
        return Global(module, name)

    def call(self, module: str, name: str, *args: object) -> Call:
        """A call of a global."""
        return Call(Global(module, name), args)

    def rebuilt(self, tensor: Call, offset: object, size: object, stride: object, state: object = None) -> Call:
        """Another view over the same storage."""
        return Call(tensor.function, (tensor.args[0], offset, size, stride, False, Ordered()), state)

    def reference(self, pid: object) -> Persistent:
        """A persistent id."""
        return Persistent(pid)

    def assemble(self, value: object) -> bytes:
        """The pickle itself."""
        return assemble_pickle(value)

    def write(self, content: object, storages: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
        """A torch zip file: `content` as opcodes (or ready bytes), storages beside it."""
        path = self.folder / f"file{len(list(self.folder.iterdir()))}.pt"
        program = content if isinstance(content, bytes) else assemble_pickle(content)
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr(f"{ARCHIVE_ROOT}/data.pkl", program)
            for key, raw in storages.items():
                archive.writestr(f"{ARCHIVE_ROOT}/data/{key}", raw)
            archive.writestr(f"{ARCHIVE_ROOT}/version", "3\n")
        return path

    def module(self, rec: Recommender, own_module: str = "__main__") -> Path:
        """A whole pickled module."""
        storages = Storages()
        return self.write(described(rec, storages, own_module), storages)

    def altered(self, rec: Recommender, change: Callable[[dict[str, Any], Storages], None]) -> Path:
        """A whole pickled module with something wrong: `change` gets the root's state and the storages."""
        storages = Storages()
        root = described(rec, storages)
        assert isinstance(root.state, dict)
        change(root.state, storages)
        return self.write(root, storages)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors here are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def release_files(tmp_path: Path) -> ReleaseFiles:
    return ReleaseFiles(tmp_path)


@pytest.fixture(params=sorted(ARCHITECTURES))
def rec(request: pytest.FixtureRequest) -> Recommender:
    """A small recommender of each architecture, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = ARCHITECTURES[request.param](num_items=23, hidden_size=8, max_history=6, dropout=0.1)
    return model.eval()


@pytest.fixture
def histories() -> tuple[Tensor, Tensor]:
    """Histories (5, 6) of every length but one, right-padded with 23."""
    generator = torch.Generator().manual_seed(5)
    lengths = torch.tensor([1, 2, 4, 5, 6])
    items = torch.randint(0, 23, (5, 6), generator=generator)
    return items.masked_fill(torch.arange(6) >= lengths[:, None], 23), lengths


@pytest.fixture
def sasrec() -> Recommender:
    return SASRec(23, hidden_size=8, max_history=6).eval()


@pytest.fixture
def refuse() -> Callable[..., CheckpointError]:
    """Load a file, which must fail with an error that names it, the reason and what is accepted."""

    def load(path: Path, *words: str) -> CheckpointError:
        with pytest.raises(CheckpointError) as caught:
            load_recommender(path)
        text = str(caught.value)
        for word in (str(path), "Accepted is", *words):
            assert word in text, f"{word!r} not in {text!r}"
        return caught.value

    return load
