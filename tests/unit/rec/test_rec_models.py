"""SASRec, GRU and Caser against their formulas, written out place by place in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ilora.config.tree import RecConfig
from ilora.rec import ARCHITECTURES, GRU, Caser, Recommender, SASRec, build_recommender

Histories = tuple[Tensor, Tensor]
Weights = dict[str, Tensor]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean()
    return centred / torch.sqrt((centred**2).mean() + 1e-5) * weight + bias


def naive_sasrec(w: Weights, history: Tensor, length: int, pad: int) -> Tensor:
    """One row, all places, one at a time, as the release computes it."""
    num_places, width = len(history), w["item_embeddings.weight"].shape[1]
    used = [float(item != pad) for item in history.tolist()]
    x = [
        (w["item_embeddings.weight"][item] + w["positional_embeddings.weight"][i]) * used[i]
        for i, item in enumerate(history.tolist())
    ]
    q = [layer_norm(row, w["ln_1.weight"], w["ln_1.bias"]) for row in x]
    Q = [w["mh_attn.linear_q.weight"] @ row + w["mh_attn.linear_q.bias"] for row in q]
    K = [w["mh_attn.linear_k.weight"] @ row + w["mh_attn.linear_k.bias"] for row in x]
    V = [w["mh_attn.linear_v.weight"] @ row + w["mh_attn.linear_v.bias"] for row in x]
    z = []
    for i in range(num_places):
        scores = []
        for j in range(num_places):
            masked = float(x[j].sum()) == 0 or j > i
            scores.append(-(2.0**32) + 1 if masked else float(Q[i] @ K[j]) / math.sqrt(width))
        top = max(scores)
        exponentials = [math.exp(score - top) for score in scores]
        seen = float(q[i].sum() != 0)
        h = q[i].clone()
        for j in range(num_places):
            h += exponentials[j] / sum(exponentials) * seen * V[j]
        y = layer_norm(h, w["ln_2.weight"], w["ln_2.bias"])
        inner = (w["feed_forward.w_1.weight"][:, :, 0] @ y + w["feed_forward.w_1.bias"]).relu()
        inner = w["feed_forward.w_2.weight"][:, :, 0] @ inner + w["feed_forward.w_2.bias"]
        f = layer_norm(inner + y, w["feed_forward.layer_norm.weight"], w["feed_forward.layer_norm.bias"])
        z.append(layer_norm(f * used[i], w["ln_3.weight"], w["ln_3.bias"]))
    return z[length - 1]


def naive_gru(w: Weights, history: Tensor, length: int, pad: int) -> Tensor:
    """One row, one GRUCell step per real item."""
    width = w["item_embeddings.weight"].shape[1]
    cell = nn.GRUCell(width, width, dtype=torch.float64)
    cell.load_state_dict({name: w[f"gru.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    state = torch.zeros(1, width, dtype=torch.float64)
    for item in history[:length].tolist():
        state = cell(w["item_embeddings.weight"][item][None], state)
    return state[0]


def naive_caser(w: Weights, history: Tensor, length: int, pad: int) -> Tensor:
    """One row, explicit loops over filters and places."""
    x = torch.stack([w["item_embeddings.weight"][item] * float(item != pad) for item in history.tolist()])
    horizontal = []
    for number, height in enumerate((2, 3, 4)):
        filters, biases = w[f"horizontal_cnn.{number}.weight"][:, 0], w[f"horizontal_cnn.{number}.bias"]
        for kernel, bias in zip(filters, biases, strict=True):
            places = [float((kernel * x[i : i + height]).sum() + bias) for i in range(len(x) - height + 1)]
            horizontal.append(max(0.0, *places))
    kernel, bias = w["vertical_cnn.weight"][0, 0, :, 0], w["vertical_cnn.bias"][0]
    vertical = [max(0.0, float((kernel * x[:, column]).sum() + bias)) for column in range(x.shape[1])]
    return torch.tensor(horizontal + vertical, dtype=torch.float64)


NAIVE = {"sasrec": naive_sasrec, "gru": naive_gru, "caser": naive_caser}


def test_users_follow_the_formulas(rec: Recommender, histories: Histories) -> None:
    rec = rec.double()
    # Weights unlike their initial values, so that no normalisation or bias could be left out unnoticed.
    with torch.no_grad():
        for value in rec.parameters():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())))
    weights = {name: value.detach() for name, value in rec.state_dict().items()}
    history, lengths = histories

    with torch.no_grad():
        users = rec.encode_users(history, lengths)
        logits = rec(history, lengths)

    for row, (items, length) in enumerate(zip(history, lengths.tolist(), strict=True)):
        expected = NAIVE[rec.arch](weights, items, length, rec.pad_id)
        torch.testing.assert_close(users[row], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(
            logits[row], weights["s_fc.weight"] @ expected + weights["s_fc.bias"], rtol=0, atol=1e-10
        )


def test_padding_inside_a_history_is_left_out_of_attention() -> None:
    torch.manual_seed(0)
    rec = SASRec(9, hidden_size=4, max_history=5).double().eval()
    history = torch.tensor([[1, 9, 3, 9, 9]])
    weights = {name: value.detach() for name, value in rec.state_dict().items()}

    user = rec.encode_users(history, torch.tensor([3]))[0]

    torch.testing.assert_close(user, naive_sasrec(weights, history[0], 3, 9), rtol=0, atol=1e-10)


def test_shapes_and_sizes(rec: Recommender, histories: Histories) -> None:
    history, lengths = histories

    assert rec.encode_users(history, lengths).shape == (5, rec.user_size)
    assert rec(history, lengths).shape == (5, rec.num_items)
    assert rec.encode_items(history).shape == (5, 6, rec.hidden_size)
    assert rec.encode_items(torch.tensor(rec.pad_id)).shape == (rec.hidden_size,)
    assert rec.user_size == (48 + 8 if rec.arch == "caser" else 8)


def test_item_vectors_are_raw_rows_of_the_table(rec: Recommender) -> None:
    ids = torch.tensor([[3, 0], [rec.pad_id, 22]])

    assert torch.equal(rec.encode_items(ids), rec.item_embeddings.weight[ids])


def test_a_row_does_not_depend_on_its_batch(rec: Recommender, histories: Histories) -> None:
    history, lengths = histories
    together = rec(history, lengths)

    for row in range(len(history)):
        alone = rec(history[row : row + 1], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


def test_a_narrow_history_equals_the_padded_one(rec: Recommender, histories: Histories) -> None:
    history, lengths = histories
    short = lengths <= 4

    narrow = rec.encode_users(history[short, :4], lengths[short])

    torch.testing.assert_close(narrow, rec.encode_users(history[short], lengths[short]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("history", "length", "message"),
    [
        ([[1, 2, 23]], [0], "empty history"),
        ([[1, 2, 23]], [4], "length of 4 in histories of 3"),
        ([[1, 2, 24]], [2], "item id 24 .* 0 to 22, and 23"),
        ([[-1, 2, 3]], [3], "item id -1"),
        ([[1] * 7], [7], "7 places; this recommender takes 1 to 6"),
        ([[1, 2]], [1, 1], "1 histories need as many lengths"),
    ],
)
def test_impossible_histories_are_named(
    rec: Recommender, history: list[list[int]], length: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rec.encode_users(torch.tensor(history), torch.tensor(length))


def test_tensors_without_data_pass_through(rec: Recommender) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        logits = rec(torch.zeros(3, 6, dtype=torch.int64), torch.ones(3, dtype=torch.int64))

    assert logits.shape == (3, 23)


def test_no_rows_give_no_users(rec: Recommender) -> None:
    users = rec.encode_users(torch.empty(0, 6, dtype=torch.int64), torch.empty(0, dtype=torch.int64))

    assert users.shape == (0, rec.user_size)


def test_gradients_reach_every_weight(rec: Recommender, histories: Histories) -> None:
    history, lengths = histories

    loss = F.cross_entropy(rec.train()(history, lengths), torch.arange(5))
    loss.backward()  # type: ignore[no-untyped-call]

    assert [
        name for name, value in rec.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ] == []


def test_dropout_acts_in_train_mode_only(rec: Recommender, histories: Histories) -> None:
    assert torch.equal(rec(*histories), rec(*histories))
    rec.train()
    assert not torch.equal(rec(*histories), rec(*histories))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_stays_finite(rec: Recommender, histories: Histories, dtype: torch.dtype) -> None:
    assert rec.to(dtype)(*histories).isfinite().all()


@pytest.mark.parametrize(("arch", "model"), [("sasrec", SASRec), ("gru", GRU), ("caser", Caser)])
def test_a_configuration_builds_its_architecture(arch: str, model: type[Recommender]) -> None:
    rec = build_recommender(RecConfig(arch=arch, hidden_size=16, dropout=0.25), num_items=30, max_history=7)

    assert isinstance(rec, model)
    assert (rec.num_items, rec.hidden_size, rec.max_history, rec.dropout_rate) == (30, 16, 7, 0.25)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rec\.arch=bert: allowed is sasrec, gru, caser"):
        build_recommender(RecConfig(arch="bert"), 30, 7)
    with pytest.raises(ValueError, match="max_history of at least 4 items, got 3"):
        build_recommender(RecConfig(arch="caser"), 30, 3)
    with pytest.raises(ValueError, match="num_items must be at least 1"):
        build_recommender(RecConfig(), 0, 3)


def test_every_architecture_is_in_the_registry_under_its_name() -> None:
    assert {name: model.arch for name, model in ARCHITECTURES.items()} == {
        "sasrec": "sasrec",
        "gru": "gru",
        "caser": "caser",
    }
