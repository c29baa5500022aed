"""CTC loss: what it keeps for backward, what it takes meanwhile, and when it is cuDNN's affair."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from ilora_diag.hardware.scratch_ctc import ctc_loss_backward
from probes.virtual import Machine, NotCarriedError

TIME, BATCH, LABELS, LONGEST = 300, 4, 32, 20
INPUTS, TARGETS = [300, 299, 250, 300], [20, 10, 5, 18]

KINDS: dict[str, Callable[[list[int]], object]] = {
    "lists": lambda lengths: lengths,
    "host": torch.tensor,
    "card": lambda lengths: torch.tensor(lengths).cuda(),
    "computed on the card": lambda lengths: torch.ones(4, 400, dtype=torch.long).cuda().sum(-1).clamp(max=max(lengths)),
}


def _log_probs() -> torch.Tensor:
    return torch.randn(TIME, BATCH, LABELS, device="cuda", requires_grad=True)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_lengths_are_read_wherever_they_are(card: Machine, kind: Callable[[list[int]], object]) -> None:
    inputs = _log_probs()
    targets = torch.randint(1, LABELS, (BATCH, LONGEST)).cuda()
    loss = F.ctc_loss(inputs.log_softmax(-1), targets, kind(INPUTS), kind(TARGETS))  # type: ignore[arg-type]
    assert loss.shape == ()
    loss.backward()
    assert inputs.grad is not None
    assert inputs.grad.shape == inputs.shape
    alphas = [n for n, op in enumerate(card.ledger.ops) if op == "aten::_ctc_loss"]
    assert [card.ledger.sizes[n] for n in alphas] == [BATCH * TIME * (2 * LONGEST + 1) * 4, BATCH * 4]


def test_outputs_have_the_sizes_of_the_hosts(card: Machine) -> None:
    targets = torch.randint(1, LABELS, (sum(TARGETS),))  # joined
    expected = torch._ctc_loss(torch.randn(TIME, BATCH, LABELS).log_softmax(-1), targets, INPUTS, TARGETS)
    found = torch._ctc_loss(_log_probs().detach().log_softmax(-1), targets.cuda(), INPUTS, TARGETS)
    assert [one.shape for one in found] == [one.shape for one in expected]


def test_lengths_that_depend_on_computed_values_are_taken_at_their_largest(card: Machine) -> None:
    unknown = (torch.randn(BATCH, LONGEST, device="cuda") > 0).sum(-1)
    F.ctc_loss(_log_probs().log_softmax(-1), torch.ones(BATCH, LONGEST).long().cuda(), torch.tensor(INPUTS), unknown)
    assert BATCH * TIME * (2 * LONGEST + 1) * 4 in card.ledger.sizes
    assert any("taken at their largest" in sentence for sentence in card.notes.value_sentences())


def test_a_large_problem_takes_copies_and_a_small_one_does_not() -> None:
    def peak(time: int, *, zero_infinity: bool = False) -> int:
        return ctc_loss_backward(time, 4, 32, 41, element_bytes=4, zero_infinity=zero_infinity).peak_bytes

    lengths = 3 * 8 * 4
    assert peak(100) == peak(100, zero_infinity=True) == lengths + 4 * 100 * 41 * 4
    # beta, two tensors of every second state, the sum's logarithm and its maxima
    assert peak(300) == lengths + 4 * 300 * 4 * (41 + 2 * 21 + 2)
    assert peak(300, zero_infinity=True) == max(peak(300), lengths + 4 * 300 * 4 * 41 + 300 * 4 * 32 * 4)


def test_joined_int32_targets_are_cudnns_affair(card: Machine) -> None:
    targets = torch.ones(40, dtype=torch.int32)
    log_probs = _log_probs().log_softmax(-1)
    with pytest.raises(NotCarriedError, match="cuDNN"):
        F.ctc_loss(log_probs, targets, [TIME] * BATCH, [10] * BATCH)
    with torch.backends.cudnn.flags(enabled=False):
        F.ctc_loss(log_probs, targets.cuda(), [TIME] * BATCH, [10] * BATCH).backward()
