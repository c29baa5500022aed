"""Interventions on the host, each on the smallest thing it acts on and the nearest it does not; all is put back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from ilora_diag.bisect.catalogue import INTERVENTIONS
from probes.interventions import UnknownInterventionError, applied, with_arguments
from probes.interventions.registry import INSTALL

IDS = torch.randint(2, 50, (4, 12), generator=torch.Generator().manual_seed(0))


def llama(**settings: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, num_key_value_heads=2, **sizes, **settings))


def met(tally: Any) -> dict[str, tuple[int, Any]]:
    return {found.name: (found.count, found.value) for found in tally.opportunities()}


def test_the_catalogue_and_the_registry_name_the_same() -> None:
    assert set(INSTALL) == set(INTERVENTIONS)


def test_a_name_that_stands_for_none_is_refused_with_those_that_do() -> None:
    with (
        pytest.raises(UnknownInterventionError, match=r"apply\.no_such.*allowed are release"),
        applied({}, ["no_such"]),
    ):
        pass


def test_everything_is_put_back_also_after_an_error() -> None:
    places = (
        (nn.Module, "__call__"), (nn.Module, "__init__"), (DataLoader, "__init__"), (torch.optim.Optimizer, "__init__"),
        (F, "cross_entropy"), (checkpoint, "CheckpointFunction"), (nn.MultiheadAttention, "forward"),
        (torch.optim.Adam, "step"),
    )  # fmt: skip
    torch.optim.Adam([nn.Parameter(torch.ones(1))])  # PyTorch wraps `step` at the first one
    before = [getattr(owner, name) for owner, name in places]
    everything = {name: 1 if row.kind.value == "ordered" else True for name, row in INTERVENTIONS.items()}
    everything |= {"release": (), "drop_copy": ()}
    with contextlib.suppress(ZeroDivisionError), applied(everything):
        model = llama(attn_implementation="eager")
        torch.optim.Adam(model.parameters())
        model(input_ids=IDS, labels=IDS)
        raise ZeroDivisionError
    assert [getattr(owner, name) for owner, name in places] == before
    assert model.config._attn_implementation == "eager"
    assert not hasattr(type(model).forward, "__wrapped__") or "interventions" not in type(model).forward.__module__


def test_what_is_only_watched_changes_nothing() -> None:
    with applied({}, tuple(INTERVENTIONS)) as tally:
        model = llama(attn_implementation="eager")
        optimizer = torch.optim.AdamW(model.parameters())
        (batch,) = next(iter(DataLoader(TensorDataset(IDS), batch_size=4)))
        out = model(input_ids=batch, labels=batch)
    assert out.past_key_values is not None
    assert batch.shape == IDS.shape
    assert not optimizer.state
    found = met(tally)
    assert found["batch_size"] == (1, 4)
    assert found["seq_len"] == (1, 12)
    assert found["stateless_optimizer"] == (1, "AdamW")
    assert {"no_kv_cache", "sdpa_attention", "checkpointing", "autocast_bf16"} <= set(found)
    assert not {"no_hidden_states", "trim_padding", "target_logits", "plain_loader", "no_grad_validation"} & set(found)


def test_details_name_the_line_of_the_script() -> None:
    with applied({}, ["batch_size"]) as tally:
        DataLoader(TensorDataset(IDS), batch_size=2)
    assert tally.opportunities()[0].detail.startswith("test_interventions.py:")


def test_no_cache_is_made_where_none_was_given() -> None:
    from transformers import DynamicCache

    with applied({"no_kv_cache": True}) as tally:
        model = llama()
        assert model(input_ids=IDS).past_key_values is None
        given = model(input_ids=IDS, past_key_values=DynamicCache(config=model.config))
        assert given.past_key_values is not None, "generation needs its cache"
    assert met(tally) == {"no_kv_cache": (1, "on")}


def test_of_hidden_states_the_last_is_the_same_and_others_are_not_there() -> None:
    model = llama()
    expected = model(input_ids=IDS, output_hidden_states=True).hidden_states[-1]
    with applied({"no_hidden_states": True}) as tally:
        out = llama()(input_ids=IDS, output_hidden_states=True)
        assert torch.equal(out.hidden_states[-1], expected)
        with pytest.raises(IndexError, match="hidden state 1 was not kept"):
            out.hidden_states[1]
    assert met(tally) == {"no_hidden_states": (1, "on")}


def test_logits_are_computed_where_a_label_is_and_the_loss_is_the_same() -> None:
    labels = IDS.clone()
    labels[:, :8] = -100
    model = llama()
    expected = model(input_ids=IDS, labels=labels)
    expected.loss.backward()
    gradients = [one.grad for one in model.parameters()]
    with applied({"target_logits": True}) as tally:
        relieved = llama()
        out = relieved(input_ids=IDS, labels=labels)
        out.loss.backward()
    assert out.logits.shape == (1, 16, 50)
    torch.testing.assert_close(out.loss, expected.loss)
    for one, gradient in zip(relieved.parameters(), gradients, strict=True):
        torch.testing.assert_close(one.grad, gradient)
    assert met(tally) == {"target_logits": (1, round(1 - 16 / 48, 3))}


def test_a_loss_over_a_large_table_takes_the_labelled_rows() -> None:
    logits = torch.randn(600, 2000, requires_grad=True)
    labels = torch.full((600,), -100)
    labels[::7] = 3
    expected = F.cross_entropy(logits, labels)
    with applied({"target_logits": True}) as tally:
        torch.testing.assert_close(nn.CrossEntropyLoss()(logits, labels), expected)
        F.cross_entropy(logits[:50], labels[:50])
    assert met(tally)["target_logits"][0] == 1, "the second was too small to matter"


@pytest.mark.parametrize("is_named", [True, False])
def test_padding_columns_are_cut_from_every_table_of_the_batch(is_named: bool) -> None:
    mask = (torch.arange(12) < torch.tensor([[3], [5], [4], [2]])).long()
    labels = torch.where(mask.bool(), IDS, -100)
    parts = {"input_ids": IDS * mask, "attention_mask": mask, "labels": labels}

    def collate(samples: list[Any]) -> Any:
        rows = [torch.stack(part) for part in zip(*samples, strict=True)]
        return dict(zip(parts, rows, strict=True)) if is_named else tuple(rows)

    with applied({"trim_padding": True}) as tally:
        batch = next(iter(DataLoader(TensorDataset(*parts.values()), batch_size=4, collate_fn=collate)))
    for part in batch.values() if is_named else batch:
        assert part.shape == (4, 5)
    assert met(tally) == {"trim_padding": (1, round(1 - 5 / 12, 3))}


def test_without_a_mask_only_columns_with_one_number_for_all_are_padding() -> None:
    padded = IDS.clone()
    padded[:, 7:] = 1
    with applied({"trim_padding": True}):
        (cut,) = next(iter(DataLoader(TensorDataset(padded), batch_size=4)))
        (whole,) = next(iter(DataLoader(TensorDataset(IDS), batch_size=4)))
    assert cut.shape == (4, 7)
    assert whole.shape == (4, 12)


def test_batches_and_sequences_are_never_made_larger() -> None:
    with applied({"batch_size": 2, "seq_len": 8}):
        sizes = [tuple(batch.shape) for (batch,) in DataLoader(TensorDataset(IDS), batch_size=3)]
        small = [tuple(batch.shape) for (batch,) in DataLoader(TensorDataset(IDS[:, :5]), batch_size=1)]
    assert sizes == [(2, 8), (2, 8)]
    assert small == [(1, 5)] * 4


def test_of_left_padded_samples_the_last_tokens_are_kept() -> None:
    mask = torch.zeros_like(IDS)
    mask[:, 6:] = 1
    loader = [{"input_ids": ids, "attention_mask": part} for ids, part in zip(IDS, mask, strict=True)]
    with applied({"seq_len": 4}):
        batch = next(iter(DataLoader(loader, batch_size=4)))
    assert torch.equal(batch["input_ids"], IDS[:, 8:])


def test_loaders_stay_in_the_process_and_pin_nothing() -> None:
    with applied({"plain_loader": True}) as tally:
        loader = DataLoader(TensorDataset(IDS), num_workers=2, pin_memory=True, persistent_workers=True)
        assert (loader.num_workers, loader.pin_memory, loader.persistent_workers) == (0, False, False)
        DataLoader(TensorDataset(IDS))
    assert met(tally) == {"plain_loader": (1, "2 workers, pinned")}


def test_eager_attention_gives_way_and_weights_that_are_wanted_stay() -> None:
    with applied({"sdpa_attention": True}) as tally:
        model = llama(attn_implementation="eager")
        assert model(input_ids=IDS, output_attentions=True).attentions[0] is not None
        model(input_ids=IDS)
        assert model.config._attn_implementation == "sdpa"
        x = torch.randn(2, 3, 8)
        attention = nn.MultiheadAttention(8, 2, batch_first=True)
        assert attention(x, x, x)[1] is None
    assert met(tally)["sdpa_attention"][1] == "eager"
    assert model.config._attn_implementation == "eager"


def test_reentrant_checkpoints_become_others_with_the_same_gradients() -> None:
    layer = nn.Linear(4, 4)
    x = torch.randn(2, 4, requires_grad=True)
    checkpoint.checkpoint(layer, x, use_reentrant=True).sum().backward()
    expected = layer.weight.grad.clone()
    layer.zero_grad()
    shared = layer.weight.sum() * 0 + 1  # outside: a reentrant inner backward would free its graph
    with applied({"nonreentrant_checkpointing": True}) as tally:
        first = checkpoint.checkpoint(lambda y: layer(y) * shared, x, use_reentrant=True)
        second = checkpoint.checkpoint(lambda y: layer(y) * shared, x, use_reentrant=True)
        ((first + second) / 2).sum().backward()
        checkpoint.checkpoint(layer, x, use_reentrant=False)
    torch.testing.assert_close(layer.weight.grad, expected)
    assert met(tally) == {"nonreentrant_checkpointing": (2, "reentrant")}


def test_models_of_transformers_recompute_in_training_alone() -> None:
    with applied({"checkpointing": True}) as tally:
        model = llama()
        model.eval()
        model(input_ids=IDS)
        assert not any(getattr(one, "gradient_checkpointing", False) for one in model.modules())
        model.train()
        model(input_ids=IDS, use_cache=False)
        assert any(getattr(one, "gradient_checkpointing", False) for one in model.modules())
        model(input_ids=IDS, use_cache=False)
    assert met(tally)["checkpointing"] == (1, "off")
    assert not any(getattr(one, "gradient_checkpointing", False) for one in model.modules())


def test_validation_is_a_model_that_trained_before_and_frozen_parts_keep_their_graph() -> None:
    model, frozen = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2)).eval()
    x = torch.ones(1, 2)
    with applied({"no_grad_validation": True}) as tally:
        assert frozen(model(x)).requires_grad
        model.eval()
        assert not model(x).requires_grad
        assert frozen(x).requires_grad, "it never trained"
        assert model.train()(x).requires_grad
    assert met(tally) == {"no_grad_validation": (1, "with a graph")}


class MoeLora(nn.Module):
    def __init__(self, *, experts: int) -> None:
        super().__init__()
        self.base = nn.Linear(6, 6)
        self.num_experts = experts
        self.lora_A = nn.Parameter(torch.randn(4, 6))
        self.lora_B = nn.Parameter(torch.randn(6, experts, 4 // experts))

    def forward(self, x: Tensor) -> Tensor:
        low = F.linear(x, self.lora_A).unflatten(-1, (self.num_experts, -1))
        each = torch.einsum("bsnr,onr->bsno", low, self.lora_B)
        return self.base(x) + each.mean(dim=2)


@pytest.mark.parametrize(("experts", "count"), [(2, 1), (1, 0)])
def test_experts_with_equal_gates_are_one_low_rank_update(experts: int, count: int) -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(MoeLora(experts=experts))
    x = torch.randn(2, 3, 6)
    expected = layer(x)
    with applied({"plain_lora": True}) as tally:
        torch.testing.assert_close(layer(x), expected)
    assert met(tally) == ({"plain_lora": (1, experts)} if count else {})


def test_the_base_is_frozen_where_adapters_train_and_left_alone_where_nothing_else_would() -> None:
    from peft import LoraConfig, get_peft_model

    with applied({"freeze_base": True}) as tally:
        model = get_peft_model(llama(), LoraConfig(r=2, target_modules=["q_proj"]))
        model.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        trained = {id(one) for group in optimizer.param_groups for one in group["params"]}
        assert trained == {id(one) for name, one in model.named_parameters() if "lora_" in name}
        assert not model.get_input_embeddings().weight.requires_grad
        whole = llama().model
        torch.optim.AdamW(whole.parameters())
        assert all(one.requires_grad for one in whole.parameters())
    assert met(tally)["freeze_base"][0] == 1


def test_stateless_steps_are_those_of_plain_gradient_descent() -> None:
    weight = nn.Parameter(torch.ones(3))
    with applied({"stateless_optimizer": True}) as tally:
        optimizer = torch.optim.AdamW([weight], lr=0.5)
        weight.grad = torch.tensor([1.0, 2.0, 3.0])
        optimizer.step()
        torch.optim.SGD([weight], lr=0.1)
    assert weight.tolist() == [0.5, 0.0, -0.5]
    assert not optimizer.state
    assert met(tally) == {"stateless_optimizer": (1, "AdamW")}


def test_models_run_in_bfloat16_unless_they_run_under_autocast_already() -> None:
    layer = nn.Linear(2, 2)
    with applied({"autocast_bf16": True}) as tally:
        assert layer(torch.ones(1, 2)).dtype is torch.bfloat16
        with torch.autocast("cpu", dtype=torch.float16):
            assert layer(torch.ones(1, 2)).dtype is torch.float16
    assert met(tally) == {"autocast_bf16": (1, "float32")}


def changed_lines() -> Iterator[tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]]:
    yield ("--bs", "4", "x"), {"--bs": 2}, ("--bs", "2", "x")
    yield ("--bs=4", "--lr", "1"), {"--bs": 2}, ("--bs", "2", "--lr", "1")
    yield ("--lr", "1"), {"--bs": 2}, ("--lr", "1", "--bs", "2")
    yield ("--fp16", "data"), {"--fp16": False}, ("data",)
    yield ("data",), {"--fp16": True}, ("data", "--fp16")
    yield ("--lens", "1", "2", "--x"), {"--lens": (3, 4)}, ("--lens", "3", "4", "--x")
    yield ("--bs", "-1", "--x"), {"--bs": None}, ("--x",)
    yield ("train.bs=4", "x=1"), {"train.bs": 2}, ("train.bs=2", "x=1")
    yield ("x=1",), {"flag": True}, ("x=1", "flag=true")


@pytest.mark.parametrize(("args", "changes", "expected"), list(changed_lines()))
def test_arguments_take_the_place_of_what_was_typed(
    args: tuple[str, ...], changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert with_arguments(args, changes) == expected
