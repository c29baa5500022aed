"""From what a file holds to named weights and what is known of their model."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ilora.rec.checkpoint.tensors import StoredTensor
from ilora.safe_pickle import Bag

MAX_DEPTH = 16
PREFIXES = ("", "model.", "rec_model.", "recommender.")
"""Where a recommender may hang inside a larger module; ours and others'."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Named weights and what the file says of the model beside them.

    Attributes:
        tensors: parameter name -> tensor of any float type; may share memory.
        facts: what the file states, unchecked: num_items, hidden_size, max_history, num_heads, dropout.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, object] = field(default_factory=dict)


def harvest(content: object) -> Weights:
    """Weights of a whole pickled module, of a Lightning checkpoint, or of a plain state dict.

    Raises:
        ValueError: none of these.
    """
    if isinstance(content, Bag):
        return Weights(dict(_module_tensors(content, "", 0)), _module_facts(content))
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        return Weights(_recommender_part(_plain(content["state_dict"])))
    if isinstance(content, dict):
        return Weights(_recommender_part(_plain(content)))
    raise ValueError(f"holds a {type(content).__name__}, neither a module nor a state dict")


def _plain(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, value in entries.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise ValueError(f"entry {reprlib.repr(name)} of the state dict is no tensor")  # noqa: TRY004 - the file's fault
        tensors[name] = value.view
    return tensors


def _recommender_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries below the first prefix under which a recommender's item table hangs."""
    for prefix in PREFIXES:
        if f"{prefix}item_embeddings.weight" in tensors:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    raise ValueError(
        f"no recommender among its {len(tensors)} tensors (no item_embeddings.weight; first: {list(tensors)[:3]})"
    )


def _attributes(module: Bag) -> dict[Any, Any]:
    if not isinstance(module.state, dict):
        raise ValueError(f"{module!r} carries no attributes")  # noqa: TRY004
    return module.state


def _children(module: Bag, kind: str) -> Iterator[tuple[str, Any]]:
    children = _attributes(module).get(kind, {})
    if not isinstance(children, dict) or not all(isinstance(name, str) for name in children):
        raise ValueError(f"{kind} of {module!r} is no mapping of names")
    return ((name, child) for name, child in children.items() if child is not None)


def _module_tensors(module: Bag, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """What `state_dict` would list. The depth limit ends modules that contain themselves."""
    if depth > MAX_DEPTH:
        raise ValueError(f"modules nested deeper than {MAX_DEPTH}")
    for kind in ("_parameters", "_buffers"):
        for name, value in _children(module, kind):
            if not isinstance(value, StoredTensor):
                raise ValueError(f"{prefix}{name} is no tensor")  # noqa: TRY004
            yield prefix + name, value.view
    for name, child in _children(module, "_modules"):
        if not isinstance(child, Bag):
            raise ValueError(f"{prefix}{name} is no module")  # noqa: TRY004
        yield from _module_tensors(child, f"{prefix}{name}.", depth + 1)


_FACTS = {"item_num": "num_items", "hidden_size": "hidden_size", "state_size": "max_history"}


def _module_facts(root: Bag) -> dict[str, object]:
    """What the released classes keep as attributes. Their pickled `device` is not among it: it names a GPU."""
    attributes = _attributes(root)
    facts = {ours: attributes[theirs] for theirs, ours in _FACTS.items() if theirs in attributes}
    children = dict(_children(root, "_modules"))
    for child, attribute, ours in (
        ("mh_attn", "num_heads", "num_heads"),
        ("emb_dropout", "p", "dropout"),
        ("dropout", "p", "dropout"),
    ):
        if isinstance(children.get(child), Bag) and attribute in _attributes(children[child]):
            facts[ours] = _attributes(children[child])[attribute]
    return facts
