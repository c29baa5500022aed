"""Pickled modules that are hostile or do not add up: what is refused, and what the refusal says."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ilora.rec import Recommender
from ilora.safe_pickle import PickleRefusedError

Module = dict[str, Any]
Change = Callable[[Module, Any], None]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (os.system.__module__, "system"),
        ("builtins", "getattr"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.nn.modules", "sys.exit"),
        ("copyreg", "_reconstructor"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("lightning.pytorch.utilities.parsing", "AttributeDict"),
        ("__main__", "Trojan"),
    ],
)
def test_a_foreign_global_is_refused_by_its_name(
    sasrec: Recommender, release_files: Any, tmp_path: Path, module: str, name: str, refuse: Any
) -> None:
    marker = tmp_path / "ran"

    def plant(state: Module, _: Any) -> None:
        state["extra"] = release_files.call(module, name, f"touch {marker}")

    error = refuse(release_files.altered(sasrec, plant), f"{module}.{name}", "refused")

    assert isinstance(error.__cause__, PickleRefusedError)
    assert error.__cause__.name == (module, name)
    assert not marker.exists()


def test_the_trap_would_spring_in_an_ordinary_unpickler(release_files: Any, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(release_files.assemble(release_files.call(os.system.__module__, "system", f"touch {marker}")))

    assert marker.exists()


def tensor_of(state: dict[str, Any], *names: str) -> tuple[dict[str, Any], Any]:
    *modules, parameter = names
    for module in modules:
        state = state["_modules"][module].state
    return state["_parameters"], state["_parameters"][parameter].args[0]


def test_a_storage_shorter_than_claimed_is_refused(sasrec: Recommender, release_files: Any, refuse: Any) -> None:
    def cut(_: Module, storages: Any) -> None:
        storages["0"] = storages["0"][:-4]

    refuse(release_files.altered(sasrec, cut), "storage 0 has")


def test_a_missing_storage_is_refused(sasrec: Recommender, release_files: Any, refuse: Any) -> None:
    def drop(_: Module, storages: Any) -> None:
        del storages["3"]

    refuse(release_files.altered(sasrec, drop), "data/3")


@pytest.mark.parametrize(
    "geometry",
    [
        (0, (24, 9), (9, 1)),  # more elements than the storage holds
        (8, (24, 8), (8, 1)),  # shifted beyond its end
        (0, (24, 8), (80, 1)),  # strides beyond its end
        (0, (1 << 30, 8), (0, 0)),  # one element repeated: a bomb once copied
        (-8, (24, 8), (8, 1)),
        (0, (24, -8), (8, 1)),
        (0, (24, 8), (8,)),
        (0.0, (24, 8), (8, 1)),
        (0, [24, 8], (8, 1)),
    ],
    ids=str,
)
def test_a_view_that_does_not_fit_its_storage_is_refused(
    sasrec: Recommender, release_files: Any, geometry: tuple[Any, Any, Any], refuse: Any
) -> None:
    def reshape(state: Module, _: Any) -> None:
        parameters, tensor = tensor_of(state, "item_embeddings", "weight")
        parameters["weight"] = release_files.rebuilt(tensor, *geometry)

    refuse(release_files.altered(sasrec, reshape), "data.pkl")


def test_a_tensor_cannot_be_altered_by_the_pickle(sasrec: Recommender, release_files: Any, refuse: Any) -> None:
    def build(state: Module, _: Any) -> None:
        parameters, tensor = tensor_of(state, "item_embeddings", "weight")
        parameters["weight"] = release_files.rebuilt(tensor, *tensor.args[1:4], state={"view": 1})

    refuse(release_files.altered(sasrec, build), "alter a tensor")


def drop_parameter(state: Module, _: Any) -> None:
    del state["_modules"]["ln_3"].state["_parameters"]["bias"]


def add_parameter(state: Module, storages: Any) -> None:
    state["_parameters"]["extra"] = storages.tensor(torch.ones(2))


def wrong_shape(state: Module, storages: Any) -> None:
    state["_modules"]["ln_3"].state["_parameters"]["bias"] = storages.tensor(torch.ones(9))


def integer_weight(state: Module, storages: Any) -> None:
    state["_modules"]["ln_3"].state["_parameters"]["bias"] = storages.tensor(torch.ones(8, dtype=torch.int64))


def no_values(state: Module, storages: Any) -> None:
    state["_modules"]["item_embeddings"].state["_parameters"]["weight"] = storages.tensor(torch.ones(1 << 30, 0))


def wide_items(state: Module, storages: Any) -> None:
    """Would have the attention's projections built with a square of this width."""
    state["_modules"]["item_embeddings"].state["_parameters"]["weight"] = storages.tensor(torch.ones(2, 100_000))


def not_finite(state: Module, storages: Any) -> None:
    state["_modules"]["ln_3"].state["_parameters"]["bias"] = storages.tensor(torch.full((8,), torch.nan))


def other_heads(state: Module, _: Any) -> None:
    state["_modules"]["mh_attn"].state["num_heads"] = 2


def other_catalogue(state: Module, _: Any) -> None:
    state["item_num"] = 99


def wild_dropout(state: Module, _: Any) -> None:
    state["_modules"]["emb_dropout"].state["p"] = 1.5


def no_module(state: Module, _: Any) -> None:
    state["_modules"]["ln_3"] = "a layer"


def no_tensor(state: Module, _: Any) -> None:
    state["_modules"]["ln_3"].state["_parameters"]["bias"] = 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (drop_parameter, "missing ln_3.bias"),
        (add_parameter, "not known extra"),
        (wrong_shape, "ln_3.bias has shape (9,), expected (8,)"),
        (integer_weight, "ln_3.bias is of type torch.int64"),
        (no_values, "item_embeddings.weight has shape (1073741824, 0): no values"),
        (wide_items, "mh_attn.linear_q.weight has shape (8, 8), but items have 100000 numbers"),
        (not_finite, "ln_3.bias holds values that are not finite"),
        (other_heads, "2 attention heads"),
        (other_catalogue, "num_items is said to be 99, but its weights are for 23"),
        (wild_dropout, "dropout is 1.5"),
        (no_module, "ln_3 is no module"),
        (no_tensor, "ln_3.bias is no tensor"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_module_that_does_not_add_up_is_refused(
    sasrec: Recommender, release_files: Any, change: Change, reason: str, refuse: Any
) -> None:
    refuse(release_files.altered(sasrec, change), reason)


def test_a_module_that_contains_itself_is_refused(release_files: Any, refuse: Any) -> None:
    # The memo lets the child be its parent: {"_modules": {"self": <the root>}}.
    name = b"X\x08\x00\x00\x00_modulesX\x04\x00\x00\x00self"
    program = b"\x80\x02c__main__\nSASRec\n)\x81q\x00}" + name[:13] + b"}" + name[13:] + b"h\x00ssb."

    refuse(release_files.write(program, {}), "nested deeper")


FLOATS = object()  # stands for the storage class, which only the fixture can write


@pytest.mark.parametrize(
    "pid",
    [
        "storage",
        ("module", FLOATS, "0", "cpu", 1),
        ("storage", FLOATS, "../version", "cpu", 1),
        ("storage", FLOATS, "0", "cpu", 1.0),
        ("storage", "FloatStorage", "0", "cpu", 1),
        ("storage", FLOATS, "0", "cpu"),
    ],
    ids=["no-tuple", "other-kind", "outside-path", "fractional-size", "class-by-name", "too-short"],
)
def test_malformed_storage_references_are_refused(release_files: Any, pid: object, refuse: Any) -> None:
    kind = release_files.named("torch", "FloatStorage")
    pid = tuple(kind if part is FLOATS else part for part in pid) if isinstance(pid, tuple) else pid

    refuse(release_files.write({"state_dict": release_files.reference(pid)}, {"0": b"\0" * 4}), "data.pkl")
