"""The teacher's outputs for distillation: top-k items, scores and the hidden state, in shards, resumable.

Shard i holds rows [i * shard_rows, (i + 1) * shard_rows) of a split whatever the number of ranks; rank r writes shards
r, r + world_size, ... A shard that stands complete is not computed again: an interrupted export goes on where it was.
Memory is that of one shard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ilora.checkpoint import TeacherCheckpointError
from ilora.data.batch import Batch
from ilora.files import atomic_write
from ilora.model import ILoRATeacher


def shard_ranges(num_rows: int, shard_rows: int, *, rank: int, world_size: int) -> Iterator[tuple[int, range]]:
    """Yield (shard number, its rows) of one rank."""
    for number, begin in enumerate(range(0, num_rows, shard_rows)):
        if number % world_size == rank:
            yield number, range(begin, min(begin + shard_rows, num_rows))


def export_outputs(
    teacher: ILoRATeacher,
    folder: Path,
    shards: Iterable[tuple[int, range]],
    batches: Callable[[range], Iterable[Batch]],
    *,
    top_k: int,
    source: str,
) -> Iterator[Path]:
    """Write the missing shards; yield each shard's path once it stands complete.

    Args:
        teacher: with an item head; put into eval mode here.
        folder: where `part-NNNNN.parquet` and `_source.json` go.
        shards: from `shard_ranges`.
        batches: rows -> batches of prompts with exactly these rows, in order.
        top_k: items kept per row.
        source: what the outputs come from (a checkpoint's name and hash); a folder of another source is refused.

    Raises:
        TeacherCheckpointError: the folder holds outputs of another source.

    Each row has: row, target, items and scores (top_k, best first), confidence (softmax over the kept scores) and
    embedding (the last token's hidden state, float16).
    """
    _claim(folder, source)
    teacher.eval()
    for number, rows in shards:
        path = folder / f"part-{number:05d}.parquet"
        if not path.exists():
            parts = [_outputs(teacher, batch, top_k) for batch in batches(rows)]
            with atomic_write(path) as file:
                pq.write_table(pa.concat_tables(parts), file)
        yield path


@torch.inference_mode()
def _outputs(teacher: ILoRATeacher, batch: Batch, top_k: int) -> pa.Table:
    batch = batch.to(teacher.device)
    hidden = teacher.hidden_states(batch)
    top = teacher.item_logits(hidden, batch).topk(top_k, dim=1)
    columns = {
        "row": batch.rows,
        "target": batch.targets,
        "items": top.indices.int(),
        "scores": top.values,
        "confidence": top.values.softmax(dim=1),
        "embedding": teacher.last_hidden(hidden, batch).half(),
    }
    return pa.table({name: _column(tensor.cpu().numpy()) for name, tensor in columns.items()})


def _column(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _claim(folder: Path, source: str) -> None:
    note = folder / "_source.json"
    if not note.exists():
        with atomic_write(note) as file:
            file.write(json.dumps({"source": source}).encode())
    elif (found := json.loads(note.read_text()).get("source")) != source:
        raise TeacherCheckpointError(f"{folder} holds outputs of {found}, not of {source}; move it away to export anew")
