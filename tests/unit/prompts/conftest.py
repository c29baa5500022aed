"""A small catalogue, its sequences, a tokenizer trained on it, and collators over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ilora.data.collate import PromptCollator
from ilora.data.dataset import PromptDataset
from ilora.data.plan import SampleKey
from ilora.data.prompts import built_in_templates, tokenizer_texts
from ilora.data.records import Catalogue, Sequences
from ilora.data.sampling import CandidateSampler
from ilora.tokenizer import TextTokenizer, train_tokenizer

# Titles that look like markers or control tokens, that begin with punctuation, that are one letter or very long.
ODD_TITLES = (
    "[HistoryEmb]",
    "[CansHere] [CansEmb], [PH]",
    "</s>",
    "...And Justice, for <s>All",
    "M",
    "Amélie (Le Fabuleux destin d'Amélie Poulain)",
    "'Til There Was You",
    "1-900",
    "A Title That Goes On and On, Longer than Any Reasonable Title Would, Until Someone Stops It",
)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    words = ("Blue", "Garden", "Night", "River", "Paper", "Last", "Stone", "Summer", "Letter", "Glass")
    plain = tuple(f"{words[i % 10]} {words[i * 7 // 10 % 10]} ({1950 + i})" for i in range(51))
    return Catalogue(ODD_TITLES + plain)


@pytest.fixture(scope="session")
def tokenizer(catalogue: Catalogue) -> TextTokenizer:
    return train_tokenizer(tokenizer_texts(catalogue, built_in_templates("movie")), 700)


@pytest.fixture(scope="session")
def sequences(catalogue: Catalogue) -> Sequences:
    """24 rows of 1 to 10 items, all different within a row; the target is no item of the history."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 11, size=24)
    items = np.stack([rng.permutation(catalogue.num_items)[:11] for _ in lengths])
    history = np.where(np.arange(10) < lengths[:, None], items[:, :10], catalogue.pad_id)
    return Sequences(history, lengths, items[:, 10], np.arange(24))


@pytest.fixture(scope="session")
def dataset(catalogue: Catalogue, sequences: Sequences) -> PromptDataset:
    return PromptDataset(sequences, CandidateSampler(sequences, catalogue.num_items, 6, seed=5))


@pytest.fixture
def keys() -> list[SampleKey]:
    return [SampleKey(row, 0, hybrid=True) for row in range(8)]


@pytest.fixture
def collator(tokenizer: TextTokenizer, catalogue: Catalogue) -> Callable[..., PromptCollator]:
    """Makes collators; keyword arguments change their settings."""

    def make(**changes: Any) -> PromptCollator:
        settings: dict[str, Any] = {"max_history": 10, "max_seq_len": 2048, "seed": 1, **changes}
        templates = settings.pop("templates", built_in_templates("movie"))
        return PromptCollator(settings.pop("tokenizer", tokenizer), catalogue, templates, **settings)

    return make
