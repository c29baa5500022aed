"""What stays from step to step, by the name that holds it; and the same script again with that name let go."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from torch import nn

from ilora_diag.schema.known import Unavailable
from ilora_diag.schema.trial_answer import Holder, Retention
from probes.retention import GrowthWatch, HolderError, Releases, drop_copies, host_books, release
from probes.run_launch import Ended, Launch, launch
from probes.virtual import virtual_cuda
from probes.virtual.watch import Watch

BEGIN = """
import copy, torch
from torch import nn
device = {device!r}
class Net(nn.Module):
    def __init__(self, rows=512):
        super().__init__()
        self.embed = nn.Embedding(rows, 64)
        self.wide, self.narrow = nn.Linear(64, 256), nn.Linear(256, 64)
        self.outputs = []
    def forward(self, ids):
        return self.narrow(torch.relu(self.wide(self.embed(ids))))
model = Net().to(device)
optimizer = torch.optim.Adam(model.parameters())
def batch(step):
    return torch.randint(0, 512, (8, 16 + step % 3)).to(device)
def learn(step):
    out = model(batch(step))
    out.square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return out
"""
NUM_STEPS = 5


@contextmanager
def books(device: str) -> Iterator[Watch]:
    """What `GrowthWatch` wants on a device."""
    with ExitStack() as stack:
        if device == "cpu":
            yield stack.enter_context(host_books())
        else:
            yield stack.enter_context(virtual_cuda("h100", environ={})).watch


def script(folder: Path, text: str, device: str) -> Launch:
    path = folder / "train.py"
    path.write_text(BEGIN.format(device=device) + dedent(text))
    return Launch(script=str(path), is_module=False, args=())


def follow(
    what: Launch, device: str, *, let_go: tuple[str, ...] = (), drop: tuple[str, ...] = ()
) -> tuple[Retention, Releases, Releases, Ended]:
    with books(device) as watch:
        growth = GrowthWatch(watch, num_steps=NUM_STEPS)
        with release(let_go) as released, drop_copies(drop) as dropped, growth.watching():
            ended = launch(what, growth.conclude)
        if ended.error is not None:
            raise ended.error
        retention = growth.conclude()
        assert retention is not None, growth.note
        return retention, released, dropped, ended


def holder(found: Any) -> Holder:
    assert isinstance(found.holder, Holder)
    return found.holder


LEAKS = {
    "a global list of losses with their graph": (
        """
        history = []
        for step in range(6):
            history.append(learn(step).sin().mean())
        """,
        "script:history",
        True,
    ),
    "a local list of a running function": (
        """
        def train():
            losses = []
            for step in range(6):
                losses.append(learn(step).sin().mean())
        train()
        """,
        "frame:train.losses",
        True,
    ),
    "an attribute of a module": (
        """
        for step in range(6):
            model.outputs.append(learn(step).detach())
        """,
        "script:model.outputs",
        False,
    ),
    "a closure": (
        """
        def keeper():
            kept = []
            return lambda out: kept.append(out)
        keep = keeper()
        for step in range(6):
            keep(learn(step).detach())
        """,
        "script:keep.kept",
        False,
    ),
    "a default argument": (
        """
        def keep(out, seen=[]):
            seen.append(out)
        for step in range(6):
            keep(learn(step).detach())
        """,
        "script:keep.seen",
        False,
    ),
    "a dict by step within a dict": (
        """
        state = {"model": model, "outputs": {}}
        for step in range(6):
            out = learn(step)
            state["outputs"][step] = {"loss": 0.0, "out": out.detach()}
        """,
        "script:state['outputs']",
        False,
    ),
    "a class attribute": (
        """
        class Log:
            outputs = []
        for step in range(6):
            Log.outputs.append(learn(step).detach())
        """,
        "script:Log.outputs",
        False,
    ),
    "tracebacks of exceptions that are kept": (
        """
        errors = []
        def risky(step):
            out = model(batch(step))
            raise ValueError(step)
        for step in range(6):
            learn(step)
            try:
                risky(step)
            except ValueError as error:
                errors.append(error)
        """,
        "script:errors",
        True,
    ),
    "a running total with its graph": (
        """
        total = 0
        for step in range(6):
            total = total + learn(step).sin().mean()
        """,
        "script:total",
        True,
    ),
    "a running total in a local variable": (
        """
        def train():
            total = torch.zeros((), device=device)
            for step in range(6):
                total += learn(step).sin().mean()
        train()
        """,
        "frame:train.total",
        True,
    ),
    "outputs joined into one tensor": (
        """
        seen = torch.zeros(0, 64, device=device)
        for step in range(6):
            seen = torch.cat([seen, learn(step).detach().flatten(0, 1)[:64]])
        """,
        "script:seen",
        False,
    ),
    "a cache of functools": (
        """
        import functools
        @functools.lru_cache
        def scores(step):
            return learn(step).detach()
        for step in range(6):
            scores(step)
        """,
        "script:scores",
        False,
    ),
    "a cycle that nothing refers to": (
        """
        import gc; gc.disable()
        class Box: pass
        for step in range(6):
            box = Box()
            box.itself, box.out = box, learn(step).detach()
            del box
        """,
        "gc:cycles",
        False,
    ),
    "outputs of inference before any training": (
        """
        outputs = []
        with torch.no_grad():
            for step in range(6):
                outputs.append(model(batch(step)))
        """,
        "script:outputs",
        False,
    ),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_grows_is_named_and_without_it_nothing_grows(tmp_path: Path, leak: str) -> None:
    text, name, with_graph = LEAKS[leak]
    what = script(tmp_path, text, "cuda")
    found, *_ = follow(what, "cuda")
    assert found.is_growing
    assert {holder(grown).name for grown in found.grown} == {name}
    assert any(grown.with_graph for grown in found.grown) == with_graph
    assert found.slope_bytes > 1024

    try:
        again, released, _, _ = follow(what, "cuda", let_go=(name,))
    finally:
        gc.enable()
    released.check()
    assert not again.is_growing
    assert again.grown == ()


@pytest.mark.parametrize("leak", ["a local list of a running function", "a running total with its graph"])
def test_the_host_tells_the_same(tmp_path: Path, leak: str) -> None:
    text, name, _ = LEAKS[leak]
    found, *_ = follow(script(tmp_path, text, "cpu"), "cpu")
    assert found.is_growing
    assert {holder(grown).name for grown in found.grown} == {name}
    again, released, _, _ = follow(script(tmp_path, text, "cpu"), "cpu", let_go=(name,))
    released.check()
    assert not again.is_growing


def test_the_graph_of_a_kept_loss_is_told_with_module_operator_and_way(tmp_path: Path) -> None:
    text, *_ = LEAKS["a global list of losses with their graph"]
    found, *_ = follow(script(tmp_path, text, "cuda"), "cuda")
    largest = found.grown[0]
    assert (largest.module, largest.op, largest.dtype) == ("narrow", "aten::addmm", "float32")
    assert largest.shape[0] == 8
    assert largest.shape[2] == 64
    assert largest.num_tensors == NUM_STEPS - 2
    assert holder(largest).chain[0].startswith("list of")
    assert "grad_fn MeanBackward0" in holder(largest).chain
    line = (tmp_path / "train.py").read_text().splitlines().index("history = []") + 1
    assert holder(largest).where.endswith(f"train.py:{line}")


HEALTHY = {
    "a plain loop": "for step in range(6): learn(step)",
    "the last outputs are kept": """
        last = None
        for step in range(6):
            last = learn(step)
        """,
    "losses are read": """
        history = []
        for step in range(6):
            history.append(learn(step).mean().item())
        """,
    "losses without a graph are a few bytes": """
        history = []
        for step in range(6):
            history.append(learn(step).mean().detach())
        """,
    "states come late": """
        late = nn.Linear(64, 64).to(device)
        optimizer.add_param_group({"params": list(late.parameters())})
        for step in range(6):
            if step == 3:
                late(torch.ones(2, 64, device=device)).sum().backward()
            learn(step)
        """,
    "gradients are zeroed, not dropped": """
        for step in range(6):
            model(batch(step)).sum().backward(); optimizer.step(); optimizer.zero_grad(set_to_none=False)
        """,
    "inference keeps numbers": """
        scores = []
        with torch.no_grad():
            for step in range(6):
                scores.append(model(batch(step)).mean().item())
        for step in range(6): learn(step)
        """,
}


@pytest.mark.parametrize("loop", HEALTHY)
def test_a_healthy_loop_has_nothing_to_tell(tmp_path: Path, loop: str) -> None:
    found, *_ = follow(script(tmp_path, HEALTHY[loop], "cuda"), "cuda")
    assert not found.is_growing
    assert (found.grown, found.copies, found.frozen_with_state_bytes) == ((), (), 0)


COPIES = {
    "a deep copy": ("reference = copy.deepcopy(model)\nfor step in range(6): learn(step)", "script:reference", "Net"),
    "clones in a dict": (
        "best = {key: value.clone() for key, value in model.state_dict().items()}\nfor step in range(6): learn(step)",
        "script:best",
        "wide.weight",
    ),
    "the embedding that a resize replaced": (
        """
        def main():
            old = model.embed
            model.embed = nn.Embedding(515, 64).to(device)
            for group in optimizer.param_groups:
                group["params"] = list(model.parameters())
            for step in range(6): learn(step)
        main()
        """,
        "frame:main.old",
        "Net.embed",
    ),
    "its weight alone": (
        """
        pretrained = model.embed.weight.detach()
        model.embed = nn.Embedding(515, 64).to(device)
        for group in optimizer.param_groups:
            group["params"] = list(model.parameters())
        for step in range(6): learn(step)
        """,
        "script:pretrained",
        "Net.embed",
    ),
    "within the model": (
        """
        model.spare = copy.deepcopy(model.wide.requires_grad_(False)); model.spare = nn.ModuleList([model.spare, *[
            copy.deepcopy(model.narrow)]])
        model.old = copy.deepcopy(model.embed)
        for step in range(6): learn(step)
        """,
        "script:model.old",
        "Net.embed",
    ),
}


@pytest.mark.parametrize(("device", "case"), [*(("cuda", case) for case in COPIES), ("cpu", "a deep copy")])
def test_a_second_copy_is_named_and_can_be_let_go(tmp_path: Path, device: str, case: str) -> None:
    text, name, original = COPIES[case]
    what = script(tmp_path, text, device)
    found, *_ = follow(what, device)
    copies = {holder(one).name: one for one in found.copies}
    assert set(copies) == {name}
    assert copies[name].name.startswith(original)
    assert copies[name].size_bytes >= 64 << 10
    if device == "cuda":
        assert isinstance(copies[name].same_content, Unavailable)
    else:
        assert copies[name].same_content is False  # the original has been trained since
    again, _, dropped, _ = follow(what, device, drop=(name,))
    dropped.check()
    assert again.copies == ()


def test_weights_that_are_tied_or_seen_twice_are_no_copy(tmp_path: Path) -> None:
    text = """
        model.tied = nn.Linear(64, 512, bias=False).to(device)
        model.tied.weight = model.embed.weight
        view, names = model.wide.weight.detach(), dict(model.named_parameters())
        for step in range(6): learn(step)
        """
    found, *_ = follow(script(tmp_path, text, "cuda"), "cuda")
    assert found.copies == ()


def test_states_of_parameters_that_take_no_gradient_are_counted(tmp_path: Path) -> None:
    text = """
        for step in range(6):
            learn(step)
            model.wide.requires_grad_(False)
        """
    found, *_ = follow(script(tmp_path, text, "cuda"), "cuda")
    wide = 2 * (64 * 256 + 256) * 4  # two moments
    assert wide <= found.frozen_with_state_bytes <= wide + 1024


def test_a_run_that_fails_early_tells_what_stood_then(tmp_path: Path) -> None:
    text = """
        def train():
            kept = []
            for step in range(6):
                kept.append(learn(step).detach())
                if step == 3:
                    raise RuntimeError("enough")
        train()
        """
    with books("cuda") as watch:
        growth = GrowthWatch(watch, num_steps=6)
        with growth.watching():
            ended = launch(script(tmp_path, text, "cuda"), lambda: None)
        found = growth.conclude(ended.error)
    assert found is not None
    assert {holder(grown).name for grown in found.grown} == {"frame:train.kept"}


@pytest.mark.parametrize("name", ["script:nothing", "frame:main.nothing", "script:model.embed", "module:a.b"])
def test_a_name_without_anything_to_let_go_is_never_taken_for_done(tmp_path: Path, name: str) -> None:
    _, released, _, _ = follow(script(tmp_path, "for step in range(6): learn(step)", "cuda"), "cuda", let_go=(name,))
    with pytest.raises(HolderError, match="let go"):
        released.check()


@pytest.mark.parametrize("name", ["history", "optimizer:state", "scripts:history", ""])
def test_what_is_no_name_is_refused_before_anything_runs(name: str) -> None:
    with pytest.raises(HolderError), release((name,)):
        pass


def watched_training() -> list[weakref.ref[Any]]:
    """Trains under the watch and lets everything go; answers how to see whether it went."""
    model = nn.Linear(64, 64)
    optimizer = torch.optim.Adam(model.parameters())
    kept: list[torch.Tensor] = []
    with books("cpu") as watch:
        growth = GrowthWatch(watch, num_steps=5)
        with growth.watching():
            for _ in range(6):
                out = model(torch.ones(2, 64))
                kept.append(out.detach())
                out.sum().backward()
                optimizer.step()
                optimizer.zero_grad()
        assert growth.conclude() is not None
    return [weakref.ref(one) for one in (*kept, *model.parameters(), model, optimizer)]


def test_the_watch_keeps_nothing_alive() -> None:
    guards = watched_training()
    gc.collect()
    assert [guard() for guard in guards] == [None] * len(guards)


def test_fewer_steps_than_growth_needs_are_refused_or_said(tmp_path: Path) -> None:
    with books("cuda") as watch:
        with pytest.raises(ValueError, match="4 steps or more, got 3"):
            GrowthWatch(watch, num_steps=3)
        growth = GrowthWatch(watch, num_steps=4)
        with growth.watching():
            launch(script(tmp_path, "learn(0)", "cuda"), lambda: None)
        assert growth.conclude() is None
        assert "1 were done" in growth.note
