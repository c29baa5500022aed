"""The tokenizer as the data pipeline needs it: ids of pieces of text, and the few special ids that matter.

Prompts are not tokenised as one text but put together from pieces (`ilora.data.collate`), so the question asked most is
"which ids does this text get where it *continues* another text", which is not always what a tokenizer answers for the
text alone: SentencePiece models put a space in front of whatever they are given.

Text is data here. A film called "</s>" is encoded as four characters, never as the control token of that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

NEWLINE = "\n"
# What the first token of "x" starts with where the tokenizer puts a space in front of every text: the marks for a space
# of SentencePiece and of byte-level BPE.
_SPACE_MARKS = ("\u2581", "\u0120")
# How a newline can look inside a vocabulary: as itself, as byte-level BPE writes the byte, as byte fallback writes it.
_NEWLINE_MARKS = ("\n", "\u010a", "<0x0A>")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")


class TokenizerError(ValueError):
    """A tokenizer that is missing, empty, or does not fit its model."""


class TextTokenizer:
    """A fast Hugging Face tokenizer, reduced to what prompts, targets and generation use.

    Attributes:
        hf: the wrapped tokenizer, for whoever has to save it.
        vocab_size: rows of the embedding the ids index; every id handed out is smaller.
        bos_id: the id the model expects at the start of a text, or None where it expects none.
        eos_id: the id that ends a text.
        pad_id: an id to fill up with. It means nothing (padding is masked) but it is always a valid row, so the
            embedding never has to grow: the end-of-text id where the tokenizer has no padding of its own.
        newline_ids: the ids of a line's end; they close every answer.
    """

    def __init__(self, hf: Any, *, vocab_size: int | None = None) -> None:
        backend = getattr(hf, "backend_tokenizer", None)
        if backend is None:
            raise TokenizerError(f"{type(hf).__name__} is no fast tokenizer: a tokenizer.json is needed")
        self.hf = hf
        self.vocab_size = len(hf) if vocab_size is None else vocab_size
        self._backend = backend
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = True
        if not self.encode("a"):
            raise TokenizerError(f"the {type(hf).__name__} has an empty vocabulary: it encodes every text to nothing")
        self._check_vocabulary()
        self._adds_space = self._backend.id_to_token(self.encode("x")[0]).startswith(_SPACE_MARKS)
        self.bos_id = self._find_bos()
        self.eos_id = self._find_eos()
        pad = hf.pad_token_id
        self.pad_id: int = pad if pad is not None and 0 <= pad < self.vocab_size else self.eos_id
        self.newline_ids = tuple(self.encode_continuation(NEWLINE))
        if not self.newline_ids:
            raise TokenizerError(f"the {type(hf).__name__} drops newlines, so no answer could be ended")

    def encode(self, text: str) -> list[int]:
        """The ids of a text on its own, without special tokens."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of many texts, in parallel threads."""
        return [item.ids for item in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def encode_continuation(self, text: str) -> list[int]:
        """The ids of a text that follows another: no space is put in front of it."""
        return self.encode_continuations([text])[0]

    def encode_continuations(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode_continuation` of many texts.

        Where the tokenizer adds a space, the text is encoded behind a newline, which joins with nothing in such
        vocabularies, and the newline's own ids are cut off again.
        """
        if not self._adds_space:
            return self.encode_batch(texts)
        anchor = self.encode(NEWLINE)
        encoded = self.encode_batch([NEWLINE + text for text in texts])
        for text, ids in zip(texts, encoded, strict=True):
            if ids[: len(anchor)] != anchor:
                raise TokenizerError(
                    f"a newline in front of {text!r} changes its tokens: this tokenizer is not supported"
                )
        return [ids[len(anchor) :] for ids in encoded]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens are left out."""
        text: str = self._backend.decode([int(i) for i in ids], skip_special_tokens=True)
        return text

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Ids after which an answer is over: the end of text and every id whose text holds a newline, ascending.

        Large vocabularies have ids for a bracket or a full stop *with* the newline after it: a model may close an
        answer with one of them instead of the plain newline it was trained on.
        """
        stop = {self.eos_id, *self.newline_ids}
        for token, index in self._backend.get_vocab(with_added_tokens=True).items():
            if any(mark in token for mark in _NEWLINE_MARKS) and NEWLINE in self._backend.decode([index]):
                stop.add(index)
        return tuple(sorted(i for i in stop if i < self.vocab_size))

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into an existing folder."""
        self.hf.save_pretrained(str(folder))

    def _check_vocabulary(self) -> None:
        largest = max(self._backend.get_vocab(with_added_tokens=False).values())
        if largest >= self.vocab_size:
            raise TokenizerError(
                f"the tokenizer has ids up to {largest}, the model's embedding has {self.vocab_size} rows: "
                "they do not belong together"
            )

    def _find_bos(self) -> int | None:
        """What the tokenizer itself puts in front of a text; naming a bos token does not mean that it is used."""
        plain = self.encode("a")
        full: list[int] = self._backend.encode("a", add_special_tokens=True).ids
        if len(full) > len(plain) and full[1 : 1 + len(plain)] == plain and full[0] < self.vocab_size:
            return full[0]
        return None

    def _find_eos(self) -> int:
        eos = self.hf.eos_token_id
        if eos is None or not 0 <= eos < self.vocab_size:
            raise TokenizerError(f"the {type(self.hf).__name__} names no end-of-text token below {self.vocab_size}")
        return int(eos)


def load_tokenizer(folder: Path) -> TextTokenizer:
    """Load the tokenizer of a folder (tokenizer.json, or vocab.json with merges.txt, ...) from its files alone.

    Raises:
        TokenizerError: no tokenizer there, one that cannot be read, or an empty one.
    """
    from transformers import AutoTokenizer, GPT2Tokenizer

    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        raise TokenizerError(
            f"no tokenizer in {folder}: expected one of {', '.join(_TOKENIZER_FILES)}. "
            "Save one there (tokenizer.save_pretrained), or name another folder: llm.tokenizer=DIR"
        )
    # The bare pair of GPT-2 files names no class. They are loaded from the folder: built from the two file names,
    # transformers 5.23 gives an empty tokenizer without a word.
    bare = not any((folder / name).is_file() for name in _TOKENIZER_FILES[:3])
    loader = GPT2Tokenizer if bare else AutoTokenizer
    try:
        hf = loader.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        raise TokenizerError(f"the tokenizer in {folder} cannot be read: {error}") from error
    _check_complete(folder, len(hf))
    return TextTokenizer(hf)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> TextTokenizer:
    """Train a byte-level BPE tokenizer for a model with random weights, which has none of its own.

    The same texts give the same tokenizer. Any text can be encoded, seen in training or not: all 256 bytes are ids.

    Args:
        texts: what to learn merges from, such as titles and prompts.
        vocab_size: upper limit on ids; fewer result where the texts are few.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(special) + len(alphabet):
        raise TokenizerError(
            f"vocab_size={vocab_size}: a byte-level vocabulary needs {len(special) + len(alphabet)} ids"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            special_tokens=special,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    hf = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    return TextTokenizer(hf)


def _check_complete(folder: Path, length: int) -> None:
    """Every entry of vocab.json must have arrived."""
    file = folder / "vocab.json"
    if file.is_file() and length < len(entries := json.loads(file.read_text(encoding="utf-8"))):
        raise TokenizerError(f"the tokenizer in {folder} has {length} ids, its vocab.json {len(entries)}")
