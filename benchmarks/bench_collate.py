"""Putting batches together: segments tokenised once against tokenising every prompt's whole text.

Both make the same token ids and placeholder places (checked first) of ml-100k-sized prompts: 10 items of history, 20
candidates, a generated catalogue of 1,682 titles, batches of 8, one process. The other side is not slow for want of
care: the fast tokenizer encodes the batch in one call, with the placeholders as added tokens.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer

from benchmarks.timing import machine, paired, seconds
from ilora.data.collate import PromptCollator
from ilora.data.dataset import PromptDataset, Sample
from ilora.data.plan import BatchPlan
from ilora.data.prompts import PromptTemplate, built_in_templates, template_index, tokenizer_texts
from ilora.data.records import Catalogue, Sequences
from ilora.data.sampling import CandidateSampler
from ilora.tokenizer import train_tokenizer

NUM_ITEMS, NUM_ROWS, BATCH, HISTORY, CANDIDATES, SEED = 1682, 2000, 8, 10, 20, 0


def make_catalogue() -> Catalogue:
    rng = np.random.default_rng(SEED)
    letters = np.array(list("etaoinshrdlu"))
    words = ["".join(rng.choice(letters, size=rng.integers(3, 9))).capitalize() for _ in range(400)]
    titles = (" ".join(rng.choice(words, size=rng.integers(1, 5))) for _ in range(NUM_ITEMS))
    return Catalogue(tuple(f"{title} ({1930 + i % 70})" for i, title in enumerate(titles)))


def make_dataset() -> PromptDataset:
    rng = np.random.default_rng(SEED)
    items = np.stack([rng.permutation(NUM_ITEMS)[: HISTORY + 1] for _ in range(NUM_ROWS)])
    lengths = np.full(NUM_ROWS, HISTORY)
    sequences = Sequences(items[:, :HISTORY].copy(), lengths, items[:, HISTORY].copy(), np.arange(NUM_ROWS))
    return PromptDataset(sequences, CandidateSampler(sequences, NUM_ITEMS, CANDIDATES, seed=SEED))


class WholeText:
    """The other way: render each prompt, tokenise it, look for the placeholders."""

    def __init__(
        self, tokenizer: Any, catalogue: Catalogue, templates: tuple[PromptTemplate, ...], pad_id: int
    ) -> None:
        self.tokenizer = Tokenizer.from_str(tokenizer.hf.backend_tokenizer.to_str())
        self.first_marker = self.tokenizer.get_vocab_size()
        self.tokenizer.add_tokens([AddedToken(text, lstrip=True) for text in ("[HistoryEmb]", "[CansEmb]")])
        self.titles, self.templates, self.pad_id = catalogue.titles, templates, pad_id

    def __call__(self, samples: list[Sample]) -> tuple[list[list[int]], np.ndarray[Any, Any]]:
        """Token ids of a batch, right-padded, and (row, column) of its placeholders."""
        texts = []
        for sample in samples:
            template = self.templates[template_index(3, seed=SEED, epoch=sample.epoch, row=sample.row)]
            history = [self.titles[item] for item in sample.history]
            prompt = template.render(history, [self.titles[item] for item in sample.candidates])
            texts.append(f"{prompt} {self.titles[sample.target]}\n")
        encoded = [item.ids for item in self.tokenizer.encode_batch(texts)]
        width = max(map(len, encoded))
        ids = np.array([[*one, *[self.pad_id] * (width - len(one))] for one in encoded])
        markers = ids >= self.first_marker
        places = np.argwhere(markers)
        ids[markers] = self.pad_id
        return ids.tolist(), places


def main() -> None:
    catalogue, dataset, templates = make_catalogue(), make_dataset(), built_in_templates("movie")
    tokenizer = train_tokenizer(tokenizer_texts(catalogue, templates), 1024)
    collate = PromptCollator(tokenizer, catalogue, templates, max_history=HISTORY, max_seq_len=4096, seed=SEED)
    whole = WholeText(tokenizer, catalogue, templates, tokenizer.pad_id)
    plan = BatchPlan(num_rows=NUM_ROWS, batch_size=BATCH, num_batches=NUM_ROWS // BATCH, seed=SEED)
    keys = list(plan)
    batches = [dataset.__getitems__(one) for one in keys]
    batch, (ids, places) = collate(batches[0]), whole(batches[0])
    assert batch.input_ids.tolist() == ids
    assert np.array_equal(np.stack([batch.placeholder_rows, batch.placeholder_cols], axis=1), places)

    pair = paired(lambda: [whole(one) for one in batches], lambda: [collate(one) for one in batches], repeats=5)
    drawing = min(seconds(lambda: [dataset.__getitems__(one) for one in keys]) for _ in range(3))
    setup = seconds(
        lambda: PromptCollator(tokenizer, catalogue, templates, max_history=HISTORY, max_seq_len=4096, seed=SEED)
    )
    print(machine())
    print(f"{batch.num_tokens / BATCH:.0f} tokens a sample, {BATCH} samples a batch, {len(batches)} batches")
    print(f"whole text / segments: {pair}   ({NUM_ROWS / pair.b_s:,.0f} samples/s against {NUM_ROWS / pair.a_s:,.0f})")
    print(
        f"rows and candidates: {NUM_ROWS / drawing:,.0f} samples/s; tokenising the catalogue once: {setup * 1e3:.0f} ms"
    )
    print(
        json.dumps(
            {
                "collate_samples_per_s": round(NUM_ROWS / pair.b_s),
                "with_sampling_samples_per_s": round(NUM_ROWS / (pair.b_s + drawing)),
                "whole_text_ratio": round(pair.ratio, 2),
                "setup_s": round(setup, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
