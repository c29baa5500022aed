"""Prompts over any titles and any limit."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ilora.data.collate import PromptCollator
from ilora.data.dataset import Sample
from ilora.data.errors import DataError
from ilora.data.prompts import built_in_templates
from ilora.data.records import Catalogue
from ilora.data.segments import SegmentTable, ragged_arange
from ilora.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer([" a film", " another film"], 300)
MARKERS = st.sampled_from(
    ["[HistoryEmb]", "[CansEmb]", "[PH]", "[HistoryHere]", "<s>", "</s>", "<pad>", ",", " ", "\n"]
)
TITLES = st.lists(st.one_of(st.text(max_size=12), st.lists(MARKERS, max_size=3).map("".join)), min_size=9, max_size=9)


@settings(max_examples=80, deadline=None)
@given(titles=TITLES, limit=st.integers(40, 420), seed=st.integers(0, 99), left=st.booleans(), reference=st.booleans())
def test_whatever_the_titles_places_labels_and_lengths_agree(
    titles: list[str], limit: int, seed: int, left: bool, reference: bool
) -> None:
    samples = [
        Sample(0, 0, history=(0, 1, 2), candidates=(3, 4, 5), target=4, target_index=1, hybrid=True, epoch=0),
        Sample(1, 1, history=(6,), candidates=(8, 7, 0), target=8, target_index=0, hybrid=True, epoch=0),
    ]
    collate = PromptCollator(
        TOKENIZER,
        Catalogue(tuple(titles)),
        built_in_templates("item"),
        max_history=3,
        max_seq_len=limit,
        seed=seed,
        padding_side="left" if left else "right",
        reference=reference,
    )
    try:
        batch = collate(samples)
    except DataError:
        return
    lengths = batch.attention_mask.sum(dim=1)
    assert lengths.max() <= limit
    assert lengths.sum() == batch.num_tokens
    decode = TOKENIZER.hf.backend_tokenizer.decode
    for index, sample in enumerate(samples):
        items = batch.placeholder_items[batch.placeholder_rows == index].tolist()
        kept = len(items) - 3
        assert 1 <= kept <= len(sample.history)
        assert items == [*sample.history[-kept:], *sample.candidates]
        labels = batch.label_ids[batch.label_rows == index].tolist()[1 if reference else 0 :]
        assert decode(labels, skip_special_tokens=False) == f" {titles[sample.target]}\n"
    assert torch.equal(batch.input_ids[batch.label_rows, batch.label_cols + 1], batch.label_ids)
    assert (batch.attention_mask[batch.placeholder_rows, batch.placeholder_cols] == 1).all()
    assert (batch.attention_mask[torch.arange(2), batch.last_cols] == 1).all()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_segments_concatenate_as_lists_do(data: st.DataObject) -> None:
    segments = data.draw(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6))
    picked = data.draw(st.lists(st.integers(0, len(segments) - 1), max_size=8))
    table = SegmentTable(segments)
    joined = table.concatenate(np.array(picked, dtype=np.int64))
    assert joined.tolist() == [token for number in picked for token in segments[number]]
    assert [table.tokens(number) for number in range(len(segments))] == segments
    lengths = table.lengths[np.array(picked, dtype=np.int64)]
    assert ragged_arange(lengths).tolist() == [place for number in picked for place in range(len(segments[number]))]
