"""Recommenders from files: what is accepted."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ilora.rec import CheckpointError, Recommender, SASRec, load_recommender, save_recommender

Histories = tuple[Tensor, Tensor]


def assert_same(loaded: Recommender, original: Recommender, histories: Histories) -> None:
    expected, found = original.state_dict(), loaded.state_dict()
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.equal(found[name], value.float()), name
    assert type(loaded) is type(original)
    assert (loaded.num_items, loaded.hidden_size) == (original.num_items, original.hidden_size)
    assert not loaded.training
    assert {(value.device.type, value.dtype) for value in found.values()} == {("cpu", torch.float32)}
    assert torch.equal(loaded(*histories), original.float()(*histories))


@pytest.mark.parametrize("own_module", ["__main__", "recommender.A_SASRec_final_bce_llm"])
def test_a_whole_module_of_unknown_classes_loads(
    rec: Recommender, release_files: Any, histories: Histories, own_module: str
) -> None:
    loaded = load_recommender(release_files.module(rec, own_module))

    assert_same(loaded, rec, histories)
    assert loaded.max_history == rec.max_history
    assert loaded.dropout_rate == rec.dropout_rate


def test_loaded_weights_share_no_memory(release_files: Any, rec: Recommender) -> None:
    loaded = load_recommender(release_files.module(rec))

    pointers = [value.untyped_storage().data_ptr() for value in loaded.parameters()]
    assert len(set(pointers)) == len(pointers)


@pytest.mark.parametrize("prefix", ["model.", "rec_model.", "recommender."])
def test_a_lightning_checkpoint_loads(rec: Recommender, tmp_path: Path, histories: Histories, prefix: str) -> None:
    checkpoint = {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"{prefix}{name}": value for name, value in rec.state_dict().items()}
        | {"projector.weight": torch.ones(2)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2, 2)}}}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-3, "name": "sasrec"},
        "callbacks": {},
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")

    assert_same(load_recommender(tmp_path / "last.ckpt"), with_release_history(rec), histories)


def test_a_state_dict_loads(rec: Recommender, tmp_path: Path, histories: Histories) -> None:
    torch.save(rec.state_dict(), tmp_path / "state.pt")

    assert_same(load_recommender(str(tmp_path / "state.pt")), with_release_history(rec), histories)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_float_types_become_fp32(
    rec: Recommender, tmp_path: Path, histories: Histories, dtype: torch.dtype
) -> None:
    rec = rec.to(dtype)
    torch.save(rec.state_dict(), tmp_path / "state.pt")

    assert_same(load_recommender(tmp_path / "state.pt"), with_release_history(rec), histories)


def test_our_own_whole_module_loads_without_its_class_being_run(
    rec: Recommender, tmp_path: Path, histories: Histories
) -> None:
    torch.save(rec, tmp_path / "module.pt")

    assert_same(load_recommender(tmp_path / "module.pt"), rec, histories)


def test_loading_leaves_the_random_generator_alone(rec: Recommender, tmp_path: Path) -> None:
    save_recommender(rec, tmp_path / "rec.safetensors")
    before = torch.get_rng_state()

    load_recommender(tmp_path / "rec.safetensors")

    assert torch.equal(torch.get_rng_state(), before)


def test_transposed_and_shared_storages_are_read_as_the_views_they_are(
    release_files: Any, histories: Histories
) -> None:
    rec = SASRec(23, 8, 6).eval()
    both = torch.randn(2, 8, 8)
    with torch.no_grad():
        rec.mh_attn.linear_q.weight.copy_(both[0].T)
        rec.mh_attn.linear_k.weight.copy_(both[1])

    def share(state: dict[str, Any], storages: Any) -> None:
        projections = state["_modules"]["mh_attn"].state["_modules"]
        whole = storages.tensor(both)
        for name, offset, stride in (("linear_q", 0, (1, 8)), ("linear_k", 64, (8, 1))):
            view = release_files.rebuilt(whole, offset, (8, 8), stride)
            projections[name].state["_parameters"]["weight"] = view

    assert_same(load_recommender(release_files.altered(rec, share)), rec, histories)


def test_our_own_format_returns_everything(rec: Recommender, tmp_path: Path, histories: Histories) -> None:
    path = tmp_path / "folder" / "recommender.safetensors"
    save_recommender(rec.train(), path)

    loaded = load_recommender(path)

    assert_same(loaded, rec.eval(), histories)
    assert (loaded.max_history, loaded.dropout_rate) == (rec.max_history, rec.dropout_rate)


def test_a_file_that_holds_no_values_is_loaded_where_none_are_needed_alone(tmp_path: Path) -> None:
    rec = SASRec(23, 8, 6)
    path = tmp_path / "recommender.safetensors"
    save_recommender(rec, path, has_values=False)
    with pytest.raises(CheckpointError, match=r"recommender\.safetensors.*values were never computed"):
        load_recommender(path)
    assert load_recommender(path, needs_values=False).num_items == 23
    save_recommender(rec, path)
    assert load_recommender(path).num_items == 23


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    rec = SASRec(23, 8, 6)
    path = tmp_path / "recommender.safetensors"
    save_recommender(rec, path)
    before = path.read_bytes()
    # A full disk, played by a limit on the size of files this process may write.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            save_recommender(rec, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def with_release_history(rec: Recommender) -> Recommender:
    """A GRU's weights do not tell how long its histories may be; its file's reader assumes the release's ten."""
    if rec.arch == "gru":
        rec.max_history = 10
    return rec
