"""The tokenizer's door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast

from ilora.tokenizer import TextTokenizer, TokenizerError, load_tokenizer, train_tokenizer

TITLES = [" Toy Story (1995)", " Toy Soldiers (1991)", " Amélie", " Story of a Toy, The"]


@pytest.fixture(scope="module")
def trained() -> TextTokenizer:
    return train_tokenizer(TITLES, 300)


@pytest.fixture(scope="module")
def sentencepiece() -> TextTokenizer:
    """A vocabulary as Llama-2's: a space is put in front of every text and unknown characters become bytes."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["\u2581", "T", "o", "y", "a", "x", ",", "To", "Toy", "\u2581Toy"]
    merges = [("T", "o"), ("To", "y"), ("\u2581", "Toy")]
    backend = Tokenizer(
        models.BPE({piece: i for i, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return TextTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    )


def pieces(tokenizer: TextTokenizer, ids: list[int]) -> list[str]:
    return [tokenizer.hf.convert_ids_to_tokens(i) for i in ids]


def test_any_text_survives_a_round_trip(trained: TextTokenizer) -> None:
    for text in [*TITLES, "\u65e5\u672c\u8a9e \U0001f600", "", "  two  blanks ", "a\nb"]:
        assert trained.decode(trained.encode(text)) == text
        assert trained.encode_continuation(text) == trained.encode(text)


def test_the_same_texts_train_the_same_tokenizer(trained: TextTokenizer) -> None:
    again = train_tokenizer(iter(TITLES), 300)
    assert again.hf.backend_tokenizer.to_str() == trained.hf.backend_tokenizer.to_str()
    assert train_tokenizer(TITLES, 262).encode(TITLES[0]) != trained.encode(TITLES[0])


def test_a_saved_tokenizer_loads_equal(trained: TextTokenizer, tmp_path: Path) -> None:
    trained.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode_batch(TITLES) == trained.encode_batch(TITLES)
    for name in ("bos_id", "eos_id", "pad_id", "newline_ids", "stop_ids", "vocab_size"):
        assert getattr(loaded, name) == getattr(trained, name)


def test_special_ids_are_found_by_what_the_tokenizer_does(trained: TextTokenizer) -> None:
    assert (trained.pad_id, trained.bos_id, trained.eos_id) == (0, 1, 2)
    assert trained.decode([1, *trained.encode(" Toy"), 2, 0]) == " Toy"
    assert trained.stop_ids == tuple(sorted((2, *trained.newline_ids)))


def test_control_tokens_in_a_text_are_text(trained: TextTokenizer) -> None:
    ids = trained.encode("<s></s><pad>")
    assert not {0, 1, 2} & set(ids)
    assert trained.decode(ids) == "<s></s><pad>"


def test_a_vocabulary_too_small_for_bytes_is_refused() -> None:
    with pytest.raises(TokenizerError, match="needs 259 ids"):
        train_tokenizer(TITLES, 258)


def test_a_continuation_gets_no_space_that_is_not_there(sentencepiece: TextTokenizer) -> None:
    assert pieces(sentencepiece, sentencepiece.encode("Toy")) == ["\u2581Toy"]
    assert pieces(sentencepiece, sentencepiece.encode_continuation(" Toy")) == ["\u2581Toy"]
    assert pieces(sentencepiece, sentencepiece.encode_continuation("Toy")) == ["Toy"]
    assert pieces(sentencepiece, sentencepiece.encode_continuation(",")) == [","]
    assert sentencepiece.encode_continuation("") == []


def test_a_byte_fallback_newline_ends_an_answer(sentencepiece: TextTokenizer) -> None:
    assert pieces(sentencepiece, list(sentencepiece.newline_ids)) == ["<0x0A>"]
    assert sentencepiece.stop_ids == (2, sentencepiece.newline_ids[0])
    assert sentencepiece.bos_id == 1


def test_without_a_padding_token_the_end_of_text_pads(sentencepiece: TextTokenizer) -> None:
    assert sentencepiece.hf.pad_token_id is None
    assert sentencepiece.pad_id == sentencepiece.eos_id == 2


def test_a_padding_token_beyond_the_embedding_is_not_used(trained: TextTokenizer) -> None:
    hf = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(trained.hf.backend_tokenizer.to_str()))
    hf.add_special_tokens({"pad_token": "[PAD]", "eos_token": "</s>"})
    size = trained.hf.backend_tokenizer.get_vocab_size()
    assert hf.pad_token_id == size
    assert TextTokenizer(hf, vocab_size=size).pad_id == 2


def write_gpt2_files(folder: Path) -> int:
    vocabulary = {
        piece: i
        for i, piece in enumerate(["<|endoftext|>", *sorted(train_tokenizer([], 259).hf.get_vocab())[:259]])
        if piece not in ("<s>", "</s>", "<pad>")
    }
    vocabulary = {piece: i for i, piece in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return len(vocabulary)


def test_a_pair_of_gpt2_files_is_loaded_completely(tmp_path: Path) -> None:
    size = write_gpt2_files(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocab_size == size == 257
    assert tokenizer.decode(tokenizer.encode("Hello world")) == "Hello world"
    assert tokenizer.bos_id is None
    assert tokenizer.eos_id == 0


def test_an_empty_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gpt2_files(tmp_path)
    # How transformers 5.23 builds one without a word: from file names instead of a folder.
    empty: Any = GPT2Tokenizer(vocab_file=str(tmp_path / "vocab.json"), merges_file=str(tmp_path / "merges.txt"))
    if len(empty) > 1:
        pytest.skip("this version of transformers reads the files")
    with pytest.raises(TokenizerError, match="empty vocabulary"):
        TextTokenizer(empty)


def test_a_folder_without_tokenizer_lists_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer in .*tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "not json"])
def test_a_broken_tokenizer_file_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError, match="cannot be read"):
        load_tokenizer(tmp_path)
