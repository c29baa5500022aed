"""The batches of a run: training from any step on, validation, evaluation, export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ilora.config import Config
from ilora.data.batch import Batch
from ilora.data.collate import PromptCollator
from ilora.data.dataset import PromptDataset, make_loader
from ilora.data.plan import BatchPlan, EvalPlan, evaluation_rows
from ilora.data.records import IntArray, SequenceData, Sequences
from ilora.data.sampling import CandidateSampler
from ilora.ranks import Rank
from ilora.tokenizer import TextTokenizer


class Feed:
    """Makes every kind of batch a run needs, each a function of configuration and position alone.

    Args:
        config: the run's.
        data: the splits.
        tokenizer: of the language model.
        rank: which share of each batch or split is this process's.
        pin_memory: put batches into page-locked memory, for a GPU.
    """

    def __init__(
        self, config: Config, data: SequenceData, tokenizer: TextTokenizer, rank: Rank, *, pin_memory: bool = False
    ) -> None:
        self.config, self.data, self.tokenizer, self.rank = config, data, tokenizer, rank
        self._pin_memory = pin_memory
        # The item head reads the last token of the prompt: with the answer behind it, it would read the answer.
        self._train_collator = self._collator("prompt" if config.model.head == "items" else "train", "right")
        self._prompt_collator = self._collator("prompt")
        self._num_items = data.catalogue.num_items

    @property
    def evaluated(self) -> Sequences:
        """The split that is evaluated."""
        return self.data.val if self.config.eval.split == "val" else self.data.test

    @property
    def evaluation_rows(self) -> IntArray:
        """The rows of that split that are evaluated, over all ranks."""
        return evaluation_rows(len(self.evaluated), self.config.eval.max_samples, self.config.eval.seed)

    def training(self, start_step: int) -> Iterable[Batch]:
        """This rank's micro-batches from optimizer step `start_step` to the end of the run."""
        config = self.config.train
        accumulation = config.gradient_accumulation_steps
        plan = BatchPlan(
            num_rows=len(self.data.train),
            batch_size=config.batch_size,
            num_batches=config.max_steps * accumulation,
            seed=self.config.data.seed,
            world_size=self.rank.world_size,
            rank=self.rank.index,
            curriculum=config.curriculum,
            compat=self.config.compat,
            start=start_step * accumulation,
        )
        return self._load(self.data.train, plan, self._train_collator, seed=self.config.data.seed)

    def validation(self) -> Iterable[Batch]:
        """This rank's share of the validation batches, with answers; the same every time; none without a split."""
        config = self.config.train
        rows = evaluation_rows(
            len(self.data.val), config.eval_batches * config.batch_size * self.rank.world_size, self.config.eval.seed
        )
        # Few batches, again and again: not worth worker processes.
        return self._load(self.data.val, self._share(rows, config.batch_size), self._train_collator, num_workers=0)

    def evaluation(self) -> Iterable[Batch]:
        """This rank's share of the evaluated rows, as prompts."""
        plan = self._share(self.evaluation_rows, self.config.eval.batch_size)
        return self._load(self.evaluated, plan, self._prompt_collator)

    def export(self, rows: range) -> Iterator[Batch]:
        """Exactly these rows of the training split, as prompts, whatever the rank."""
        plan = EvalPlan(rows=np.arange(rows.start, rows.stop), batch_size=self.config.eval.batch_size)
        yield from self._load(self.data.train, plan, self._prompt_collator)

    def answer_ids(self, item: int) -> list[int]:
        """Tokens of an item's answer."""
        return self._prompt_collator.answer_ids(item)

    def evaluation_sampler(self) -> CandidateSampler:
        """Draws the candidates every method is evaluated on."""
        return self._sampler(self.evaluated, self.config.eval.seed)

    def _share(self, rows: IntArray, batch_size: int) -> EvalPlan:
        return EvalPlan(rows=rows, batch_size=batch_size, world_size=self.rank.world_size, rank=self.rank.index)

    def _load(
        self,
        split: Sequences,
        plan: BatchPlan | EvalPlan,
        collator: PromptCollator,
        *,
        seed: int | None = None,
        num_workers: int | None = None,
    ) -> Iterable[Batch]:
        dataset = PromptDataset(split, self._sampler(split, self.config.eval.seed if seed is None else seed))
        workers = self.config.data.num_workers if num_workers is None else num_workers
        return make_loader(dataset, plan, collator, num_workers=workers, pin_memory=self._pin_memory)

    def _sampler(self, split: Sequences, seed: int) -> CandidateSampler:
        return CandidateSampler.from_config(
            self.config.data, split, self._num_items, compat=self.config.compat, seed=seed
        )

    def _collator(self, mode: str, padding_side: str | None = None) -> PromptCollator:
        return PromptCollator.from_config(
            self.tokenizer,
            self.data.catalogue,
            self.config.data,
            mode=mode,
            padding_side=padding_side,
            compat=self.config.compat,
        )
