"""Teacher outputs in shards: complete, resumable, the same for any number of ranks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ilora.checkpoint import TeacherCheckpointError
from ilora.config import Config
from ilora.export import export_outputs, shard_ranges
from ilora.feed import Feed
from ilora.model import ILoRATeacher


@pytest.fixture
def config(configure: Callable[..., Config]) -> Config:
    return configure("model.head=items", "eval.export=true", "eval.batch_size=4")


def _export(
    teacher: ILoRATeacher, feed: Feed, folder: Path, *, num_rows: int = 20, rank: int = 0, world: int = 1
) -> list[Path]:
    ranges = shard_ranges(num_rows, 8, rank=rank, world_size=world)
    return list(export_outputs(teacher, folder, ranges, feed.export, top_k=5, source="step-1"))


def test_every_row_is_exported_once_and_right(
    config: Config, make_teacher: Callable[..., ILoRATeacher], make_feed: Callable[..., Feed], tmp_path: Path
) -> None:
    teacher, feed = make_teacher(config), make_feed(config)
    paths = _export(teacher, feed, tmp_path)
    assert [path.name for path in paths] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    table = pq.read_table(tmp_path)  # what a reader would type
    assert table["row"].to_pylist() == list(range(20))
    assert table["target"].to_pylist() == feed.data.train.targets[:20].tolist()
    batch = next(feed.export(range(3, 4)))
    with torch.no_grad():
        scores = teacher.item_logits(teacher.hidden_states(batch), batch)[0]
    top = scores.topk(5)
    row = table.slice(3, 1).to_pylist()[0]
    assert row["items"] == top.indices.tolist()
    assert row["scores"] == pytest.approx(top.values.tolist(), abs=1e-4)
    assert row["confidence"] == pytest.approx(top.values.softmax(0).tolist(), abs=1e-4)
    assert len(row["embedding"]) == teacher.causal_lm.config.hidden_size


def test_an_interrupted_export_goes_on_and_keeps_what_stands(
    config: Config, make_teacher: Callable[..., ILoRATeacher], make_feed: Callable[..., Feed], tmp_path: Path
) -> None:
    teacher, feed = make_teacher(config), make_feed(config)
    whole = _export(teacher, feed, tmp_path)
    before = {path: path.read_bytes() for path in whole}
    stamp = whole[0].stat().st_mtime_ns
    whole[1].unlink()
    _export(teacher, feed, tmp_path)
    assert {path: path.read_bytes() for path in whole} == before
    assert whole[0].stat().st_mtime_ns == stamp


def test_ranks_share_the_shards(
    config: Config, make_teacher: Callable[..., ILoRATeacher], make_feed: Callable[..., Feed], tmp_path: Path
) -> None:
    teacher, feed = make_teacher(config), make_feed(config)
    names = [[path.name for path in _export(teacher, feed, tmp_path, rank=rank, world=2)] for rank in (0, 1)]
    assert names == [["part-00000.parquet", "part-00002.parquet"], ["part-00001.parquet"]]


def test_outputs_of_another_checkpoint_are_not_mixed_in(
    config: Config, make_teacher: Callable[..., ILoRATeacher], make_feed: Callable[..., Feed], tmp_path: Path
) -> None:
    teacher, feed = make_teacher(config), make_feed(config)
    _export(teacher, feed, tmp_path)
    with pytest.raises(TeacherCheckpointError, match="holds outputs of step-1, not of step-2"):
        next(export_outputs(teacher, tmp_path, shard_ranges(8, 8, rank=0, world_size=1), feed.export,
                            top_k=5, source="step-2"))  # fmt: skip


def test_shards_cover_all_rows_whatever_the_number_of_ranks() -> None:
    for world in (1, 2, 3):
        shards = [s for rank in range(world) for s in shard_ranges(21, 4, rank=rank, world_size=world)]
        rows = np.concatenate([np.arange(r.start, r.stop) for _, r in sorted(shards, key=lambda shard: shard[0])])
        assert rows.tolist() == list(range(21))
