"""Samples become a batch: one array operation per tensor, no Python loop per token.

What a sample's tokens are is defined in `ilora.data.layout`. Training batches are padded on the right; prompts are
padded on the left, so that generation goes on from a real token. Under `compat="reference"` all samples of a batch
share a template, and prompts are padded on the right too (Q21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ilora.config import DataConfig
from ilora.data.batch import Batch
from ilora.data.dataset import Sample
from ilora.data.layout import PromptLayout
from ilora.data.prompts import PromptTemplate, load_templates, template_index
from ilora.data.records import Catalogue, IntArray
from ilora.data.segments import ragged_arange, starts_of
from ilora.tokenizer import TextTokenizer

MODES = ("train", "prompt")


class PromptCollator:
    """Turns samples into a `Batch`; a DataLoader's `collate_fn`. Holds arrays only, so it is cheap to send to workers.

    Args:
        tokenizer: tokenises the catalogue and the templates here, and is not kept.
        catalogue: its titles are the items' text.
        templates: one is drawn per sample, seeded by (seed, epoch, row).
        max_history: width L of the batch's histories.
        max_seq_len: limit on a prompt with the longest of its candidates as answer, in tokens.
        seed: of the templates.
        mode: "train" (prompt and answer) or "prompt" (no answer and no labels).
        padding_side: "left" or "right"; default: as the module's text says.
        reference: compat=reference.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        catalogue: Catalogue,
        templates: Sequence[PromptTemplate],
        *,
        max_history: int,
        max_seq_len: int,
        seed: int,
        mode: str = "train",
        padding_side: str | None = None,
        reference: bool = False,
    ) -> None:
        assert mode in MODES, f"mode is one of {MODES}, got {mode}"
        self.mode = mode
        self.padding_side = padding_side or ("right" if mode == "train" or reference else "left")
        self._layout = PromptLayout(tokenizer, catalogue, templates, max_seq_len=max_seq_len, reference=reference)
        self._max_history, self._seed, self._one_template = max_history, seed, reference
        self._pad_token, self._pad_item = tokenizer.pad_id, catalogue.pad_id

    @classmethod
    def from_config(
        cls,
        tokenizer: TextTokenizer,
        catalogue: Catalogue,
        config: DataConfig,
        *,
        mode: str = "train",
        padding_side: str | None = None,
        compat: str = "fixed",
    ) -> PromptCollator:
        """The collator a configuration asks for."""
        return cls(
            tokenizer,
            catalogue,
            load_templates(config.prompt, config.prompt_file),
            max_history=config.max_history,
            max_seq_len=config.max_seq_len,
            seed=config.seed,
            mode=mode,
            padding_side=padding_side,
            reference=compat == "reference",
        )

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Put a batch together.

        Raises:
            DataError: a sample does not fit into `max_seq_len` even with one item of history.
        """
        hybrid = samples[0].hybrid
        assert all(sample.hybrid == hybrid for sample in samples), "one batch, one kind of prompt"
        answered = self.mode == "train"
        layouts = [self._layout.lay_out(one, self._template_of(one, samples[0]), answered=answered) for one in samples]
        segments = np.concatenate([layout.segments for layout in layouts])
        num_segments = np.array([len(layout.segments) for layout in layouts])
        num_prompt = np.array([layout.num_prompt for layout in layouts])
        lengths = self._layout.table.lengths[segments]
        tokens = self._layout.table.concatenate(segments)
        grid = _Grid.of(np.add.reduceat(lengths, starts_of(num_segments)), self.padding_side)
        places = starts_of(lengths)[segments == self._layout.placeholder]
        is_answer = ragged_arange(num_segments) >= np.repeat(num_prompt, num_segments)
        labels = np.flatnonzero(np.repeat(is_answer, lengths))
        items = np.concatenate([layout.items for layout in layouts])
        arrays = {
            "input_ids": grid.fill(tokens, self._pad_token),
            "attention_mask": grid.fill(np.ones_like(tokens), 0),
            "placeholder_rows": grid.rows[places],
            "placeholder_cols": grid.cols[places],
            "placeholder_items": items if hybrid else np.full_like(items, self._pad_item),
            "label_rows": grid.rows[labels],
            "label_cols": grid.cols[labels] - 1,
            "label_ids": tokens[labels],
            "label_counts": np.bincount(grid.rows[labels], minlength=len(samples)),
            "last_cols": grid.last_cols,
            **self._items_of(samples),
        }
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return Batch(hybrid=hybrid, num_tokens=len(tokens), **tensors)

    def answer_ids(self, item: int) -> list[int]:
        """Tokens of an item as answer: its title and the newline that closes it, as in training."""
        return self._layout.answer_ids(item)

    def _template_of(self, sample: Sample, first: Sample) -> int:
        drawn_for = first if self._one_template else sample
        return template_index(self._layout.num_templates, seed=self._seed, epoch=drawn_for.epoch, row=drawn_for.row)

    def _items_of(self, samples: Sequence[Sample]) -> dict[str, IntArray]:
        """The samples' items without their text."""
        history = np.full((len(samples), self._max_history), self._pad_item, dtype=np.int64)
        for row, sample in enumerate(samples):
            history[row, : len(sample.history)] = sample.history
        return {
            "history": history,
            "history_lengths": np.array([len(sample.history) for sample in samples]),
            "targets": np.array([sample.target for sample in samples]),
            "candidates": np.array([sample.candidates for sample in samples]),
            "target_index": np.array([sample.target_index for sample in samples]),
            "rows": np.array([sample.row for sample in samples]),
        }


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the tokens of a batch, sample after sample, stand in its (B, S) matrices.

    Attributes:
        rows: per token.
        cols: per token.
        last_cols: (B,) column of each sample's last token.
    """

    rows: IntArray
    cols: IntArray
    last_cols: IntArray

    @classmethod
    def of(cls, totals: IntArray, padding_side: str) -> _Grid:
        """Places for `totals` tokens per sample."""
        shift = totals.max() - totals if padding_side == "left" else np.zeros_like(totals)
        return cls(
            rows=np.repeat(np.arange(len(totals)), totals),
            cols=ragged_arange(totals) + np.repeat(shift, totals),
            last_cols=totals - 1 + shift,
        )

    def fill(self, values: IntArray, empty: int) -> IntArray:
        """The values as a (B, S) matrix, `empty` where there is no token."""
        matrix = np.full((len(self.last_cols), int(self.last_cols.max()) + 1), empty, dtype=np.int64)
        matrix[self.rows, self.cols] = values
        return matrix
