"""Samples as sequences of tokenised segments, and what is left out where they are too long.

A sample's token sequence is *defined* as the concatenation of segments that are tokenised on their own, in this order
(Bos only where the model expects one; the answer only in training):

    Bos | before | items | between | items | after | answer | newline      items: title P , title P , ... title P

where before, between and after are the template's pieces, a title is tokenised with the space before it, and P is one
token per item whose embedding the model writes (its id is the padding id, a valid row that is never read). For
tokenizers that cut text at spaces before they look at words, byte-level BPE among them, this is what tokenising the
whole prompt gives. So titles are tokenised once for the catalogue, batches are put together from arrays, and no marker
is searched for in text: a film called "[HistoryEmb]" is a title like any other.

A sample longer than `max_seq_len` loses its oldest history items, title and placeholder together, until it fits. Room
is kept for the longest of its candidates rather than for its answer, so that a sample's prompt is the same in training
and evaluation, and its length says nothing about the answer.

Under `compat="reference"` a second Bos stands before the answer and is supervised with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ilora.data.dataset import Sample
from ilora.data.errors import DataError
from ilora.data.prompts import SEPARATOR, PromptTemplate
from ilora.data.records import Catalogue, IntArray
from ilora.data.segments import SegmentTable
from ilora.tokenizer import NEWLINE, TextTokenizer


@dataclass(frozen=True, slots=True)
class Layout:
    """One sample as segment numbers.

    Attributes:
        segments: of the whole sequence, in order.
        num_prompt: how many of them come before the answer.
        items: the item of each placeholder, in order.
    """

    segments: IntArray
    num_prompt: int
    items: IntArray


class PromptLayout:
    """The segments of a catalogue and its templates, and their order in a sample. Keeps no tokenizer.

    Args:
        tokenizer: tokenises everything a prompt can hold, here and once.
        catalogue: its titles are the items' text.
        templates: the wording.
        max_seq_len: limit on a prompt with the longest of its candidates as answer, in tokens.
        reference: a second Bos before the answer.

    Attributes:
        table: the segments; an item's title has the item's id as its number.
        placeholder: number of the segment P.
        num_templates: how many there are to choose from.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        catalogue: Catalogue,
        templates: Sequence[PromptTemplate],
        *,
        max_seq_len: int,
        reference: bool,
    ) -> None:
        self.max_seq_len = max_seq_len
        self.num_templates = len(templates)
        self._history_first = tuple(template.history_first for template in templates)
        segments = tokenizer.encode_continuations([f" {title}" for title in catalogue.titles])

        def number(tokens: list[int]) -> int:
            segments.append(tokens)
            return len(segments) - 1

        self.placeholder = number([tokenizer.pad_id])
        self._separator = number(tokenizer.encode_continuation(SEPARATOR))
        self._newline = number(tokenizer.encode_continuation(NEWLINE))
        self._bos = number([] if tokenizer.bos_id is None else [tokenizer.bos_id])
        self._pieces = [
            (number(tokenizer.encode(before)), *map(number, tokenizer.encode_continuations([between, after])))
            for before, between, after in (template.pieces for template in templates)
        ]
        self._answer_start = [self._bos] if reference else []
        self.table = SegmentTable(segments)
        self._lengths: list[int] = self.table.lengths.tolist()

    def lay_out(self, sample: Sample, template: int, *, answered: bool) -> Layout:
        """The order of a sample's segments under a template, with or without its answer.

        Raises:
            DataError: the sample does not fit into `max_seq_len` even with one item of history.
        """
        before, between, after = self._pieces[template]
        first, second = self._fitting_history(sample, template), sample.candidates
        if not self._history_first[template]:
            first, second = second, first
        prompt = [self._bos, before, *self._list(first), between, *self._list(second), after]
        answer = self._answer(sample.target) if answered else []
        return Layout(np.array(prompt + answer), len(prompt), np.array([*first, *second]))

    def answer_ids(self, item: int) -> list[int]:
        """Tokens of an item as answer: its title and the newline that closes it, as in training."""
        return [token for segment in self._answer(item) for token in self.table.tokens(segment)]

    def _answer(self, item: int) -> list[int]:
        return [*self._answer_start, item, self._newline]

    def _list(self, items: Sequence[int]) -> list[int]:
        return [segment for item in items for segment in (self._separator, item, self.placeholder)][1:]

    def _fitting_history(self, sample: Sample, template: int) -> tuple[int, ...]:
        """The newest items of the history that leave the sample within `max_seq_len`; at least one."""
        assert sample.history, f"row {sample.row} has an empty history"
        lengths, per_item = self._lengths, 1 + self._lengths[self._separator]
        # A list of n items has n - 1 separators; counting n for each of the two lists keeps the sums plain.
        fixed = [self._bos, *self._pieces[template], *self._answer_start, self._newline]
        longest_answer = max(lengths[item] for item in (*sample.candidates, sample.target))
        used = sum(lengths[segment] for segment in fixed) + longest_answer - 2 * lengths[self._separator]
        used += sum(lengths[item] + per_item for item in sample.candidates)
        kept = 0
        for item in reversed(sample.history):
            used += lengths[item] + per_item
            if used > self.max_seq_len:
                break
            kept += 1
        if not kept:
            raise DataError(
                f"data.max_seq_len={self.max_seq_len}: row {sample.row} needs {used} tokens with one item of history "
                f"and {len(sample.candidates)} candidates. Raise data.max_seq_len, or lower data.num_candidates"
            )
        return sample.history[-kept:]
