"""The teacher against naive formulations of what it computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from ilora.assemble import obtain_llm
from ilora.config import Config, ConfigError
from ilora.data.batch import Batch
from ilora.data.records import SequenceData
from ilora.device import Placement
from ilora.feed import Feed
from ilora.lora import use_users
from ilora.model import ILoRATeacher, positions

Configure = Callable[..., Config]
MakeTeacher = Callable[[Config], ILoRATeacher]
MakeFeed = Callable[..., Feed]


def _first(feed: Feed, *, hybrid: bool = True) -> Batch:
    return next(batch for batch in feed.training(0) if batch.hybrid == hybrid)


@pytest.mark.parametrize("llm", ["tiny", "tiny-opt"])
@pytest.mark.parametrize("hybrid", [True, False])
def test_the_loss_equals_the_one_from_all_logits(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed, llm: str, hybrid: bool
) -> None:
    config = configure(f"llm={llm}")
    batch = _first(make_feed(config), hybrid=hybrid)
    teacher = make_teacher(config).eval().double()
    embeds = teacher.causal_lm.get_input_embeddings()(batch.input_ids).clone()
    for row, col, item in zip(
        batch.placeholder_rows.tolist(), batch.placeholder_cols.tolist(), batch.placeholder_items, strict=True
    ):
        vector = teacher.recommender.encode_items(item)
        embeds[row, col] = teacher.projector(vector) if hybrid else teacher.placeholder
    labels = torch.full_like(batch.input_ids, -100)
    labels[batch.label_rows, batch.label_cols + 1] = batch.label_ids
    with use_users(teacher.llm, teacher.recommender.encode_users(batch.history, batch.history_lengths)):
        logits = teacher.causal_lm(inputs_embeds=embeds, attention_mask=batch.attention_mask).logits
    per_sample = [
        F.cross_entropy(logits[index, :-1], labels[index, 1:], ignore_index=-100) for index in range(len(batch))
    ]
    expected = torch.stack(per_sample).mean()
    # The loss is taken in float32 whatever the model computes in, as logits in bf16 need it.
    assert teacher(batch).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_reference_averages_over_tokens(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    config = configure()
    teacher = make_teacher(config).eval()
    whole = _first(make_feed(config))
    counts = whole.label_counts.clone()
    counts[0] -= 3  # generated titles are equally long: one sample is given fewer target tokens
    batch = replace(
        whole,
        label_rows=whole.label_rows[3:],
        label_cols=whole.label_cols[3:],
        label_ids=whole.label_ids[3:],
        label_counts=counts,
    )
    by_sample = teacher(batch)
    teacher.token_mean = True
    logits = teacher.target_logits(teacher.hidden_states(batch), batch)
    assert teacher(batch).item() == pytest.approx(F.cross_entropy(logits, batch.label_ids).item())
    assert teacher(batch).item() != pytest.approx(by_sample.item(), rel=1e-6)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_reach_what_trains_and_nothing_else(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed, checkpointing: bool
) -> None:
    config = configure(f"train.gradient_checkpointing={str(checkpointing).lower()}")
    teacher = make_teacher(config)
    teacher(_first(make_feed(config))).backward()
    groups = teacher.trainable_groups()
    assert set(groups) == {"adapters", "gates", "projector"}
    for name, members in groups.items():
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in members), name
        assert any(p.grad.abs().sum() > 0 for p in members if p.grad is not None), name
    frozen = [p for p in teacher.parameters() if not p.requires_grad]
    assert frozen
    assert all(p.grad is None for p in frozen)


def test_checkpointing_changes_no_gradient(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    gradients = []
    for flag in ("false", "true"):
        config = configure("lora.dropout=0.1", f"train.gradient_checkpointing={flag}")
        teacher = make_teacher(config).double()
        torch.manual_seed(5)
        teacher(_first(make_feed(config))).backward()
        gradients.append({n: p.grad for n, p in teacher.named_parameters() if p.grad is not None})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    for name, grad in plain.items():
        torch.testing.assert_close(recomputed[name], grad, rtol=0, atol=1e-9, msg=name)


def test_text_only_batches_leave_the_projector_alone(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    config = configure()
    teacher = make_teacher(config)
    teacher(_first(make_feed(config), hybrid=False)).backward()
    assert all(p.grad is None for p in teacher.projector.parameters())


@pytest.mark.parametrize("llm", ["tiny", "tiny-opt"])
def test_the_side_of_the_padding_changes_nothing(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed, llm: str
) -> None:
    config = configure(f"llm={llm}", "model.head=items")
    teacher = make_teacher(config).eval()
    feed = make_feed(config)
    right = _first(feed)
    mask = right.attention_mask.flip(1)
    width = right.input_ids.shape[1]
    shift = width - right.attention_mask.sum(dim=1)
    left_ids = torch.full_like(right.input_ids, feed.tokenizer.pad_id)
    left_ids[mask.bool()] = right.input_ids[right.attention_mask.bool()]
    left = replace(
        right,
        input_ids=left_ids,
        attention_mask=mask,
        placeholder_cols=right.placeholder_cols + shift[right.placeholder_rows],
        last_cols=right.last_cols + shift,
    )
    assert len(set(right.attention_mask.sum(dim=1).tolist())) > 1, "the samples must differ in length"
    for batch in (left, right):
        assert (
            positions(batch.attention_mask)[torch.arange(len(batch)), batch.last_cols].tolist()
            == (batch.attention_mask.sum(dim=1) - 1).tolist()
        )
    scores = [teacher.item_logits(teacher.hidden_states(batch), batch) for batch in (left, right)]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-5)


def test_adapters_keep_the_base_weights_where_they_are(configure: Configure, make_teacher: MakeTeacher) -> None:
    teacher = make_teacher(configure())
    pointers = [p.data_ptr() for n, p in teacher.llm.named_parameters() if "lora_" not in n and not p.requires_grad]
    assert len(pointers) == len(set(pointers))
    names = [n for n, p in teacher.llm.named_parameters() if p.requires_grad]
    assert all("lora_" in n or "gate" in n or "router" in n for n in names), names


def test_what_is_saved_is_what_trains_and_its_statistics(configure: Configure, make_teacher: MakeTeacher) -> None:
    teacher = make_teacher(configure("lora.gate=conv", "lora.gate_norm=batch"))
    saved = teacher.trainables()
    trained = {name for name, parameter in teacher.named_parameters() if parameter.requires_grad}
    assert trained <= set(saved)
    assert any("running_mean" in name for name in saved)
    assert "placeholder" in saved
    assert not any("recommender" in name or "embed_tokens" in name for name in saved)


def test_the_recommender_stays_in_eval_mode_unless_told_otherwise(
    configure: Configure, make_teacher: MakeTeacher
) -> None:
    assert not make_teacher(configure()).train().recommender.training
    assert make_teacher(configure("rec.train_mode=true")).train().recommender.training


def test_a_model_that_caps_its_logits_is_refused(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    from ilora.model import _refuse_logit_transforms

    model = make_teacher(configure()).causal_lm
    model.config.final_logit_softcapping = 30.0
    with pytest.raises(ValueError, match=r"final_logit_softcapping=30\.0"):
        _refuse_logit_transforms(model)


def test_the_item_head_never_sees_the_answer(
    configure: Configure, make_teacher: MakeTeacher, make_feed: MakeFeed
) -> None:
    """Training and validation read the same prompts as evaluation: no token of the target's title behind them."""
    feed = make_feed(configure("model.head=items", "train.eval_batches=1"))
    for batch in (_first(feed), next(iter(feed.validation()))):
        assert batch.label_ids.numel() == 0
        for index, target in enumerate(batch.targets.tolist()):
            answer = feed.answer_ids(target)
            last = int(batch.last_cols[index])
            assert batch.input_ids[index, last - len(answer) + 1 : last + 1].tolist() != answer


def test_a_model_with_too_few_positions_is_refused(configure: Configure, data: SequenceData) -> None:
    config = configure("llm=tiny-opt", "data.max_seq_len=512", "eval.max_new_tokens=12")
    with pytest.raises(ConfigError, match=r"data\.max_seq_len=512: allowed is 16\.\.500"):
        obtain_llm(config, data, Placement(device=torch.device("cpu"), precision="fp32"))
