"""Likelihoods and generated answers against formulations without caches or batches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ilora.config import Config
from ilora.data.batch import Batch
from ilora.evaluate import evaluate_generation, evaluate_items, evaluate_scoring, judge_answer
from ilora.feed import Feed
from ilora.lora import use_users
from ilora.model import ILoRATeacher, positions
from ilora.scoring import answer_log_likelihoods, generate_answers

Configure = Callable[..., Config]
MakeTeacher = Callable[[Config], ILoRATeacher]
MakeFeed = Callable[..., Feed]


def _next_token_log_probabilities(teacher: ILoRATeacher, embeds: torch.Tensor, user: torch.Tensor) -> torch.Tensor:
    mask = torch.ones(embeds.shape[:2], dtype=torch.long)
    with use_users(teacher.llm, user):
        hidden = teacher.backbone(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions(mask), use_cache=False
        )
    return teacher.causal_lm.get_output_embeddings()(hidden.last_hidden_state).float().log_softmax(-1)[0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("llm", ["tiny", "tiny-opt"])
def test_scores_equal_reading_every_answer_on_its_own(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed, llm: str, attention: str
) -> None:
    config = configure(f"llm={llm}", f"llm.attn_implementation={attention}", "eval.batch_size=3")
    feed, teacher = make_feed(config), make_teacher(config).eval()
    batch: Batch = next(iter(feed.evaluation()))
    scores = answer_log_likelihoods(teacher, batch, feed.answer_ids)
    embeds, users = teacher.embed(batch), teacher.users(batch)
    for index in (0, 2):
        prompt = embeds[index : index + 1, batch.attention_mask[index].bool()]
        for place in (0, 4):
            tokens = feed.answer_ids(int(batch.candidates[index, place]))
            answer = teacher.causal_lm.get_input_embeddings()(torch.tensor([tokens]))
            with torch.no_grad():
                table = _next_token_log_probabilities(teacher, torch.cat([prompt, answer], 1), users[index : index + 1])
            expected = sum(table[prompt.shape[1] - 1 + i, token].item() for i, token in enumerate(tokens))
            assert scores[index, place].item() == pytest.approx(expected, abs=1e-3)


def test_generated_answers_equal_greedy_decoding_without_a_cache(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    config = configure("eval.batch_size=4")
    feed, teacher = make_feed(config), make_teacher(config).eval()
    batch: Batch = next(iter(feed.evaluation()))
    answers = generate_answers(teacher, batch, feed.tokenizer, max_new_tokens=5)
    assert len(set(batch.attention_mask.sum(1).tolist())) > 1, "the samples must differ in length"
    for index, answer in enumerate(answers):
        embeds = teacher.embed(batch)[index : index + 1, batch.attention_mask[index].bool()]
        user = teacher.users(batch)[index : index + 1]
        tokens: list[int] = []
        with torch.no_grad():
            while len(tokens) < 5 and not (tokens and tokens[-1] in feed.tokenizer.stop_ids):
                tokens.append(int(_next_token_log_probabilities(teacher, embeds, user)[-1].argmax()))
                step = teacher.causal_lm.get_input_embeddings()(torch.tensor([[tokens[-1]]]))
                embeds = torch.cat([embeds, step], dim=1)
        assert answer == feed.tokenizer.decode(tokens)


@pytest.mark.parametrize(
    ("answer", "valid", "correct"),
    [
        (" Alien", True, True),
        ("alien\nand more", True, True),
        ("Aliens", True, False),
        ("I say Heat (1995).", True, False),
        ("Alien or Heat (1995)", False, False),
        ("", False, False),
        ("Nothing of these", False, False),
    ],
)
def test_an_answer_is_judged_by_what_it_names(answer: str, valid: bool, correct: bool) -> None:
    candidates = ["Heat (1995)", "Alien", "Aliens"]
    assert judge_answer(answer, candidates, 1, substring_only=False) == (valid, correct)


def test_the_reference_misjudges_a_title_inside_another() -> None:
    assert judge_answer("Aliens", ["Alien", "Aliens"], 1, substring_only=True) == (False, False)
    assert judge_answer("Aliens", ["Alien", "Aliens"], 1, substring_only=False) == (True, True)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_sample_is_evaluated_once_whatever_the_batch_size(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed, batch_size: int
) -> None:
    config = configure("eval.max_samples=15", f"eval.batch_size={batch_size}")
    feed, teacher = make_feed(config), make_teacher(config)
    seen: list[tuple[str, int]] = []
    metrics, predictions = evaluate_scoring(
        teacher,
        feed.evaluation(),
        feed.answer_ids,
        feed.data.catalogue,
        chance=0.1,
        progress=lambda name, done: seen.append((name, done)),
    )
    assert sorted(p.row for p in predictions) == feed.evaluation_rows.tolist()
    assert metrics[0].num_samples == 15
    assert metrics[0].num_correct == sum(p.correct for p in predictions)
    assert seen[-1] == ("scoring", 15)
    interval = metrics[0].interval
    assert interval is not None
    assert interval[0] <= metrics[0].value <= interval[1]


def test_evaluation_is_deterministic(configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed) -> None:
    config = configure("eval.max_samples=6")
    results = []
    for _ in range(2):
        feed, teacher = make_feed(config), make_teacher(config)
        results.append(
            evaluate_generation(
                teacher,
                feed.evaluation(),
                feed.tokenizer,
                feed.data.catalogue,
                chance=0.1,
                max_new_tokens=4,
                reference=False,
                progress=lambda *_: None,
            )
        )
    assert results[0] == results[1]
    assert {m.name for m in results[0][0]} >= {"hr1_generation", "valid_ratio"}


def test_items_are_ranked_without_the_history(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    config = configure("model.head=items", "eval.max_samples=12", "eval.top_k=10")
    feed, teacher = make_feed(config), make_teacher(config).eval()
    metrics = {m.name: m for m in evaluate_items(teacher, feed.evaluation(), top_k=10, progress=lambda *_: None)}
    hits = {1: 0, 5: 0, 10: 0}
    gain = 0.0
    for batch in feed.evaluation():
        with torch.no_grad():
            scores = teacher.item_logits(teacher.hidden_states(batch), batch)
        for index in range(len(batch)):
            seen = set(batch.history[index, : batch.history_lengths[index]].tolist())
            order = [i for i in scores[index].argsort(descending=True).tolist() if i not in seen]
            rank = order.index(int(batch.targets[index]))
            for k in hits:
                hits[k] += rank < k
            gain += 1 / torch.log2(torch.tensor(rank + 2.0)).item() if rank < 10 else 0.0
    assert {k: metrics[f"hr@{k}"].num_correct for k in hits} == hits
    assert metrics["ndcg@10"].value == pytest.approx(gain / 12)
