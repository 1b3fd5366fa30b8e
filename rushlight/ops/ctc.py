"""Connectionist temporal classification (Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..shape import contiguous
from ..storage import TensorBase
from .card import Card, apply, array_of
from .define import NOT_SINGLE, as_tensor_argument, refuse_dtypes
from .from_data import tensor
from .loss import reduce_loss

if TYPE_CHECKING:
    from ..tensor import Tensor


def _labels(targets: np.ndarray, lengths: tuple[int, ...], sample: int, blank: int) -> np.ndarray:
    """The labels of a sample with a blank before, between and after."""
    row = targets[sample, : lengths[sample]] if targets.ndim == 2 else targets[sum(lengths[:sample]) : sum(lengths[: sample + 1])]
    found = np.full(2 * len(row) + 1, blank, np.int64)
    found[1::2] = row
    return found


def _log_sum(*terms: np.ndarray) -> np.ndarray:
    top = np.maximum.reduce(terms)
    safe = np.where(np.isneginf(top), 0, top)
    return np.where(np.isneginf(top), -np.inf, safe + np.log(sum(np.exp(t - safe) for t in terms)))


def _forward(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """alpha[t, s]: the log-probability of having emitted the first s labels after t steps."""
    emitted = log_probs[:, labels]
    alpha = np.full(emitted.shape, -np.inf)
    if not len(emitted):
        return alpha
    alpha[0, : min(2, len(labels))] = emitted[0, :2]
    # A blank, and a label equal to the one before the blank, may not be skipped to.
    skips = np.zeros(len(labels), bool)
    skips[2:] = (labels[2:] != labels[0]) & (labels[2:] != labels[:-2])
    for t in range(1, len(emitted)):
        before = alpha[t - 1]
        one = np.concatenate([[-np.inf], before[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], before[:-2]])[: len(labels)], -np.inf)
        alpha[t] = _log_sum(before, one, two) + emitted[t]
    return alpha


def _end(table: np.ndarray) -> np.ndarray:
    return _log_sum(table[-1, -1], table[-1, -2]) if table.shape[1] > 1 else table[-1, -1]


def _loss_rule(log_probs: np.ndarray, targets: np.ndarray, *, input_lengths: tuple[int, ...], target_lengths: tuple[int, ...], blank: int) -> np.ndarray:
    found = np.zeros(log_probs.shape[1], log_probs.dtype)
    for b, steps in enumerate(input_lengths):
        labels = _labels(targets, target_lengths, b, blank)
        if steps == 0:
            found[b] = 0 if len(labels) == 1 else np.inf
            continue
        found[b] = -_end(_forward(log_probs[:steps, b].astype(np.float64), labels))
    return found


def _grad_rule(log_probs: np.ndarray, targets: np.ndarray, *, input_lengths: tuple[int, ...], target_lengths: tuple[int, ...], blank: int, zero_infinity: bool) -> np.ndarray:
    """The gradient of each sample's loss with respect to the log-probabilities, as PyTorch gives it: ``softmax - posterior``."""
    found = np.zeros(log_probs.shape, np.float64)
    for b, steps in enumerate(input_lengths):
        if steps == 0:
            continue
        labels = _labels(targets, target_lengths, b, blank)
        scores = log_probs[:steps, b].astype(np.float64)
        alpha = _forward(scores, labels)
        beta = _forward(scores[::-1], labels[::-1])[::-1, ::-1]
        total = _end(alpha)
        if np.isinf(total):
            found[:steps, b] = 0 if zero_infinity else np.nan
            continue
        posterior = np.exp(alpha + beta - scores[:, labels] - total)
        occupied = np.zeros_like(scores)
        np.add.at(occupied.T, labels, posterior.T)
        found[:steps, b] = np.exp(scores) - occupied
    return found.astype(log_probs.dtype)


_ctc_grad = Card(
    "ctc_loss_grad", "log_probs targets",
    statics="input_lengths target_lengths blank zero_infinity",
    infer=lambda log_probs, targets, **_: contiguous(log_probs.shape, log_probs.dtype), numpy=_grad_rule,
    no_grad_reason="the second derivative of ctc_loss is not implemented",
)  # fmt: skip
_ctc = Card(
    "ctc_loss", "log_probs targets",
    statics="input_lengths target_lengths blank zero_infinity",
    infer=lambda log_probs, targets, **_: contiguous((log_probs.shape[1],), log_probs.dtype),
    numpy=lambda log_probs, targets, *, zero_infinity, **lengths: _finite(_loss_rule(log_probs, targets, **lengths), zero_infinity),
    grads={
        "log_probs": lambda g, log_probs, targets, input_lengths, target_lengths, blank, zero_infinity: apply(
            _ctc_grad, (log_probs, targets), (input_lengths, target_lengths, blank, zero_infinity)
        )
        * g.reshape(1, -1, 1)
    },
)  # fmt: skip


def _finite(loss: np.ndarray, zero_infinity: bool) -> np.ndarray:
    return np.where(np.isinf(loss), 0, loss) if zero_infinity else loss


def _lengths(lengths: Any, name: str) -> tuple[int, ...]:
    if isinstance(lengths, TensorBase):
        if lengths._layout.dtype.category != dt.INTEGER:
            raise RuntimeError(f"{name} must be integral")
        return tuple(int(n) for n in array_of(lengths).reshape(-1))
    return tuple(int(n) for n in lengths)


@autocasts(SINGLE)
def ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> Tensor:
    """The CTC loss of log-probabilities (T, N, C) or (T, C) and labels (N, S) or concatenated.

    >>> F.ctc_loss(torch.full((2, 1, 2), 0.5).log(), torch.tensor([[1]]), (2,), (1,))
    tensor(0.2877)
    """
    refuse_dtypes("ctc_loss_cpu", as_tensor_argument(log_probs, "ctc_loss", "log_probs")._layout.dtype, NOT_SINGLE)
    if log_probs.dim() not in (2, 3):
        raise RuntimeError(f"Expected 3-dimensional tensor, but got {log_probs.dim() + 1}-dimensional tensor for argument #1 'log_probs' (while checking arguments for ctc_loss_allocate_outputs)")
    if not log_probs.numel():
        raise RuntimeError("log_probs tensor must not be empty")
    batched = log_probs if log_probs.dim() == 3 else log_probs.unsqueeze(1)
    inputs, outputs = _lengths(input_lengths, "input_lengths"), _lengths(target_lengths, "target_lengths")
    steps, batch, classes = batched.shape
    if not 0 <= blank < classes:
        raise RuntimeError("blank must be in label range")
    if len(inputs) != batch:
        raise RuntimeError("input_lengths must be of size batch_size")
    if len(outputs) != batch:
        raise RuntimeError("target_lengths must be of size batch_size")
    for n in inputs:
        if n < 0 or n > steps:
            raise RuntimeError(f"Expected input_lengths to have value at most {steps}, but got value {n} (while checking arguments for ctc_loss_allocate_outputs)")
    labels = targets.unsqueeze(0) if log_probs.dim() == 2 and targets.dim() == 1 else targets
    loss = apply(_ctc, (batched, labels.to(dt.int64)), (inputs, outputs, blank, bool(zero_infinity)))
    if reduction == "mean":
        return (loss / tensor(outputs, dtype=loss.dtype).clamp(min=1)).mean()
    return reduce_loss(loss.squeeze(0) if log_probs.dim() == 2 else loss, reduction)
