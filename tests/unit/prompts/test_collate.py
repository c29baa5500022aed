"""What a batch of prompts holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer

from ilora.config import DataConfig
from ilora.data.batch import Batch
from ilora.data.collate import PromptCollator
from ilora.data.dataset import PromptDataset, Sample
from ilora.data.errors import DataError
from ilora.data.plan import SampleKey
from ilora.data.prompts import built_in_templates, parse_template, template_index
from ilora.data.records import Catalogue
from ilora.tokenizer import TextTokenizer

Make = Callable[..., PromptCollator]


@pytest.fixture
def samples(dataset: PromptDataset, keys: list[SampleKey]) -> list[Sample]:
    return dataset.__getitems__(keys)


def tokens_of(batch: Batch, index: int) -> list[int]:
    """The real tokens of one sample."""
    return batch.input_ids[index][batch.attention_mask[index].bool()].tolist()


def placeholders_of(batch: Batch, index: int) -> tuple[list[int], list[int]]:
    mine = batch.placeholder_rows == index
    return batch.placeholder_cols[mine].tolist(), batch.placeholder_items[mine].tolist()


def rendered(sample: Sample, catalogue: Catalogue, *, answered: bool) -> str:
    template = built_in_templates("movie")[template_index(3, seed=1, epoch=sample.epoch, row=sample.row)]
    titles = catalogue.titles
    text = template.render([titles[i] for i in sample.history], [titles[i] for i in sample.candidates])
    return text + (f" {titles[sample.target]}\n" if answered else "")


@pytest.mark.parametrize("mode", ["train", "prompt"])
def test_a_sample_reads_as_its_whole_text_tokenised_at_once(
    mode: str, collator: Make, samples: list[Sample], catalogue: Catalogue, tokenizer: TextTokenizer
) -> None:
    # An independent tokenizer that knows the placeholders; each takes the space before it along.
    whole = Tokenizer.from_str(tokenizer.hf.backend_tokenizer.to_str())
    whole.encode_special_tokens = True
    markers = [whole.get_vocab_size(), whole.get_vocab_size() + 1]
    odd = [sample for sample in samples if not {0, 1} & {*sample.history, *sample.candidates, sample.target}]
    assert len(odd) >= 3, "samples whose titles do not themselves spell a placeholder"
    whole.add_tokens([AddedToken(marker, lstrip=True, special=False) for marker in ("[HistoryEmb]", "[CansEmb]")])
    batch = collator(mode=mode)(odd)
    for index, sample in enumerate(odd):
        text = rendered(sample, catalogue, answered=mode == "train")
        expected = whole.encode(text, add_special_tokens=False).ids
        places = [place for place, token in enumerate(expected) if token in markers]
        expected = [tokenizer.pad_id if token in markers else token for token in expected]
        assert tokens_of(batch, index) == [tokenizer.bos_id, *expected]
        start = batch.attention_mask[index].argmax().item()
        assert placeholders_of(batch, index)[0] == [start + 1 + place for place in places]


def test_placeholders_name_the_items_in_the_order_of_the_text(collator: Make, samples: list[Sample]) -> None:
    batch = collator()(samples)
    for index, sample in enumerate(samples):
        cols, items = placeholders_of(batch, index)
        assert items == [*sample.history, *sample.candidates]
        assert cols == sorted(set(cols))
        assert (batch.input_ids[index, cols] == collator()._pad_token).all()


def test_titles_that_spell_markers_or_control_tokens_are_only_titles(
    collator: Make, samples: list[Sample], catalogue: Catalogue, tokenizer: TextTokenizer
) -> None:
    odd = replace(samples[0], history=(0, 1, 2, 3), candidates=(4, 1, 0, 2), target=2, target_index=3)
    batch = collator()([odd])
    assert placeholders_of(batch, 0)[1] == [0, 1, 2, 3, 4, 1, 0, 2]
    assert tokens_of(batch, 0).count(tokenizer.eos_id) == 0
    answer = tokenizer.hf.backend_tokenizer.decode(batch.label_ids.tolist(), skip_special_tokens=False)
    assert answer == f" {catalogue.titles[2]}\n" == " </s>\n"


def test_every_id_is_a_row_of_the_embedding(collator: Make, samples: list[Sample], tokenizer: TextTokenizer) -> None:
    ids = collator()(samples).input_ids
    assert ids.min() >= 0
    assert ids.max() < tokenizer.vocab_size


def test_labels_are_the_answer_and_its_newline_predicted_one_place_earlier(
    collator: Make, samples: list[Sample], catalogue: Catalogue, tokenizer: TextTokenizer
) -> None:
    batch = collator()(samples)
    assert torch.equal(batch.input_ids[batch.label_rows, batch.label_cols + 1], batch.label_ids)
    for index, sample in enumerate(samples):
        ids = batch.label_ids[batch.label_rows == index].tolist()
        assert tokenizer.decode(ids) == f" {catalogue.titles[sample.target]}\n"
        assert ids == collator().answer_ids(sample.target)
        assert len(ids) == batch.label_counts[index]
        assert batch.label_cols[batch.label_rows == index].max() + 1 == batch.last_cols[index]


def test_prompts_are_training_sequences_without_their_answer_padded_on_the_left(
    collator: Make, samples: list[Sample]
) -> None:
    trained, asked = collator()(samples), collator(mode="prompt")(samples)
    for index, sample in enumerate(samples):
        assert tokens_of(asked, index) + collator().answer_ids(sample.target) == tokens_of(trained, index)
    assert (asked.attention_mask[:, -1] == 1).all()
    assert (asked.last_cols == asked.input_ids.shape[1] - 1).all()
    assert (trained.attention_mask[:, 0] == 1).all()
    assert torch.equal(trained.last_cols, trained.attention_mask.sum(dim=1) - 1)
    assert len(asked.label_ids) == 0
    assert asked.label_counts.tolist() == [0] * len(samples)


def test_text_only_prompts_differ_from_hybrid_ones_only_in_what_the_placeholders_stand_for(
    collator: Make, samples: list[Sample], catalogue: Catalogue
) -> None:
    hybrid, text = collator()(samples), collator()([replace(sample, hybrid=False) for sample in samples])
    assert not text.hybrid
    assert (text.placeholder_items == catalogue.pad_id).all()
    assert torch.equal(text.input_ids, hybrid.input_ids)
    assert torch.equal(text.placeholder_cols, hybrid.placeholder_cols)


def test_what_is_no_text_is_kept_as_it_is(collator: Make, samples: list[Sample], catalogue: Catalogue) -> None:
    batch = collator(max_history=12)(samples)
    for index, sample in enumerate(samples):
        real = int(batch.history_lengths[index])
        assert tuple(batch.history[index, :real].tolist()) == sample.history
        assert (batch.history[index, real:] == catalogue.pad_id).all()
        assert batch.candidates[index, batch.target_index[index]] == batch.targets[index] == sample.target
    assert batch.rows.tolist() == list(range(8))
    assert batch.num_tokens == int(batch.attention_mask.sum())
    assert len(batch) == 8
    assert batch.history.shape == (8, 12)


def test_a_sample_that_is_too_long_loses_its_oldest_history_and_nothing_else(
    collator: Make, samples: list[Sample]
) -> None:
    sample = max(samples, key=lambda one: len(one.history))
    full = collator()([sample])
    seen = set()
    for limit in range(full.num_tokens, 60, -1):
        try:
            batch = collator(max_seq_len=limit)([sample])
        except DataError:
            break
        assert batch.num_tokens <= limit
        kept = len(placeholders_of(batch, 0)[1]) - len(sample.candidates)
        assert placeholders_of(batch, 0)[1] == [*sample.history[-kept:], *sample.candidates]
        assert torch.equal(batch.history, full.history)
        assert batch.label_ids.tolist() == full.label_ids.tolist()
        seen.add(kept)
    assert seen == set(range(1, len(sample.history) + 1))


def test_the_prompt_is_cut_alike_for_training_and_evaluation_whatever_the_answer(
    collator: Make, samples: list[Sample]
) -> None:
    longest = max(samples, key=lambda one: len(one.history))
    sample = replace(
        longest, history=tuple(range(10, 20)), candidates=(4, 8, 30, 31)
    )  # the shortest, the longest title
    others = [replace(sample, target=item, target_index=place) for place, item in enumerate(sample.candidates)]
    full = collator()(others).input_ids.shape[1]
    for limit in range(full - 30, full, 3):
        prompts = {
            tuple(tokens_of(batch, 0))[: batch.num_tokens - int(batch.label_counts[0])]
            for mode in ("train", "prompt")
            for batch in (collator(max_seq_len=limit, mode=mode)([other]) for other in others)
        }
        assert len(prompts) == 1


def test_a_sample_that_cannot_fit_names_the_key_the_row_and_the_length(collator: Make, samples: list[Sample]) -> None:
    with pytest.raises(DataError, match=r"data\.max_seq_len=40: row 3 needs (\d+) tokens") as caught:
        collator(max_seq_len=40)([samples[3]])
    needed = int(str(caught.value).split("needs ")[1].split()[0])
    shortest = collator(max_seq_len=needed)([samples[3]])
    assert len(placeholders_of(shortest, 0)[1]) == 1 + len(samples[3].candidates)
    with pytest.raises(DataError):
        collator(max_seq_len=needed - 1)([samples[3]])


def test_the_reference_supervises_a_second_bos_and_pads_prompts_on_the_right(
    collator: Make, samples: list[Sample], tokenizer: TextTokenizer
) -> None:
    batch = collator(reference=True)(samples)
    first_labels = [batch.label_ids[batch.label_rows == index][0].item() for index in range(len(samples))]
    assert first_labels == [tokenizer.bos_id] * len(samples)
    assert collator(reference=True).answer_ids(7) == [tokenizer.bos_id, *collator().answer_ids(7)]
    prompts = collator(reference=True, mode="prompt")(samples)
    assert (prompts.attention_mask[:, 0] == 1).all()
    assert not (prompts.attention_mask[:, -1] == 1).all()


def test_the_reference_draws_one_template_a_batch_and_otherwise_every_sample_draws_its_own(
    collator: Make, samples: list[Sample]
) -> None:
    def openings(reference: bool) -> set[int]:
        batch = collator(reference=reference, templates=templates)(samples)
        return {tokens_of(batch, index)[1] for index in range(len(samples))}

    templates = [
        parse_template(f"{word} [HistoryHere] and [CansHere]:", key="k", name="n") for word in ("Aa", "Bb", "Cc")
    ]
    assert len(openings(reference=True)) == 1
    assert len(openings(reference=False)) == 3


def test_candidates_may_come_first(collator: Make, samples: list[Sample]) -> None:
    template = parse_template("Of [CansHere] after [HistoryHere]:", key="k", name="n")
    batch = collator(templates=[template])(samples)
    for index, sample in enumerate(samples):
        assert placeholders_of(batch, index)[1] == [*sample.candidates, *sample.history]


def test_mixing_hybrid_and_text_only_samples_in_a_batch_is_a_mistake_of_ours(
    collator: Make, samples: list[Sample]
) -> None:
    with pytest.raises(AssertionError, match="one kind"):
        collator()([samples[0], replace(samples[1], hybrid=False)])


def test_the_configuration_makes_the_same_collator(
    collator: Make, samples: list[Sample], catalogue: Catalogue, tokenizer: TextTokenizer
) -> None:
    config = DataConfig(max_seq_len=2048, seed=1, prompt="movie")
    made = PromptCollator.from_config(tokenizer, catalogue, config, mode="prompt", compat="reference")
    expected = collator(reference=True, mode="prompt")(samples)
    assert torch.equal(made(samples).input_ids, expected.input_ids)
    assert made.padding_side == "right"


def test_moving_a_batch_moves_what_the_model_reads_and_no_more(collator: Make, samples: list[Sample]) -> None:
    batch = collator()(samples)
    moved = batch.to("meta")
    stayed = {name for name in Batch.__slots__ if isinstance(getattr(moved, name), torch.Tensor)} - {
        name for name in Batch.__slots__ if getattr(getattr(moved, name), "is_meta", False)
    }
    assert stayed == {"candidates", "target_index", "rows"}
    assert moved.hybrid is batch.hybrid
    assert moved.num_tokens == batch.num_tokens
    assert len(moved) == len(batch)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: page-locked memory belongs to one")
def test_pinning_a_batch_pins_what_will_be_moved(collator: Make, samples: list[Sample]) -> None:
    pinned = collator()(samples).pin_memory()
    assert pinned.input_ids.is_pinned()
    assert not pinned.candidates.is_pinned()
    assert torch.equal(pinned.to("cuda", non_blocking=True).input_ids.cpu(), pinned.input_ids)


def test_integer_tensors_are_int64(collator: Make, samples: list[Sample]) -> None:
    batch = collator()(samples)
    tensors = [getattr(batch, name) for name in Batch.__slots__ if isinstance(getattr(batch, name), torch.Tensor)]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    assert np.isin(batch.attention_mask.numpy(), (0, 1)).all()
