"""Connectionist temporal classification (Graves et al. 2006, https://www.cs.toronto.edu/~graves/icml_2006.pdf)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

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


class _Paths(NamedTuple):
    """The samples of a batch side by side: scores of shape (steps, samples, states), -inf where a sample has no such state or step."""

    labels: np.ndarray  # of each state: a blank before, between and after the targets
    scores: np.ndarray
    states: np.ndarray  # how many each sample has
    steps: np.ndarray


def _paths(log_probs: np.ndarray, targets: np.ndarray, input_lengths: tuple[int, ...], target_lengths: tuple[int, ...], blank: int) -> _Paths:
    states = 2 * np.array(target_lengths, np.int64) + 1
    labels = np.full((len(states), states.max()), blank, np.int64)
    first = 0
    for row, length, sample in zip(labels, target_lengths, itertools.count(), strict=False):
        row[1 : 2 * length : 2] = targets[sample, :length] if targets.ndim == 2 else targets[first : first + length]
        first += length
    steps = np.array(input_lengths, np.int64)
    scores = np.take_along_axis(log_probs, labels[None], 2).astype(np.float64)
    scores[:, np.arange(labels.shape[1]) >= states[:, None]] = -np.inf
    scores[np.arange(len(scores))[:, None] >= steps] = -np.inf
    return _Paths(labels, scores, states, steps)


def _reversed(paths: _Paths) -> tuple[np.ndarray, ...]:
    """An index of the scores that takes the steps and the states of each sample from its last to its first."""
    steps, states = (np.arange(n) for n in (len(paths.scores), paths.labels.shape[1]))
    backwards = (paths.steps - 1 - steps[:, None]) % max(len(steps), 1)
    return backwards[:, :, None], np.arange(len(paths.steps))[None, :, None], ((paths.states[:, None] - 1 - states) % len(states))[None]


def _forward(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """alpha[t, b, s]: the log-probability of having come to state s after t steps."""
    alpha = np.full(scores.shape, -np.inf)
    if not len(scores):
        return alpha
    alpha[0, :, :2] = scores[0, :, :2]
    # A blank, and a label equal to the one before the blank, may not be skipped to.
    skipped = np.full(labels.shape, -np.inf)
    skipped[:, 2:][(labels[:, 2:] != labels[:, :1]) & (labels[:, 2:] != labels[:, :-2])] = 0
    padded = np.full((labels.shape[0], labels.shape[1] + 2), -np.inf)
    for t in range(1, len(scores)):
        padded[:, 2:] = alpha[t - 1]
        found = np.logaddexp(padded[:, 2:], padded[:, 1:-1])
        np.logaddexp(found, padded[:, :-2] + skipped, out=found)
        np.add(found, scores[t], out=alpha[t])
    return alpha


def _totals(alpha: np.ndarray, paths: _Paths) -> np.ndarray:
    """The log-probability of each sample's targets."""
    if not len(alpha):
        return np.where(paths.states == 1, 0, -np.inf)
    last = np.take_along_axis(alpha, np.maximum(paths.steps - 1, 0)[None, :, None], 0)[0]
    ends = [np.take_along_axis(last, np.maximum(paths.states - n, 0)[:, None], 1)[:, 0] for n in (1, 2)]
    found = np.where(paths.states > 1, np.logaddexp(*ends), ends[0])
    return np.where(paths.steps > 0, found, np.where(paths.states == 1, 0, -np.inf))


def _loss_rule(log_probs: np.ndarray, targets: np.ndarray, **lengths: Any) -> np.ndarray:
    paths = _paths(log_probs, targets, **lengths)
    found: np.ndarray = -_totals(_forward(paths.labels, paths.scores), paths)
    return (found + 0).astype(log_probs.dtype)


def _grad_rule(log_probs: np.ndarray, targets: np.ndarray, *, zero_infinity: bool, **lengths: Any) -> np.ndarray:
    """The gradient of each sample's loss with respect to the log-probabilities, as PyTorch gives it: ``softmax - posterior``."""
    paths = _paths(log_probs, targets, **lengths)
    alpha = _forward(paths.labels, paths.scores)
    backwards = _reversed(paths)
    labels, scores = np.broadcast_to(paths.labels, paths.scores.shape)[backwards], paths.scores[backwards]
    scores[np.arange(len(scores))[:, None] >= paths.steps] = -np.inf
    scores[:, np.arange(scores.shape[2]) >= paths.states[:, None]] = -np.inf
    beta = _forward(labels[0] if len(labels) else paths.labels, scores)[backwards]
    totals = _totals(alpha, paths)
    posterior = np.exp(alpha + beta - paths.scores - totals[:, None])
    there = (np.arange(len(scores))[:, None] < paths.steps)[:, :, None]
    posterior[~(there & (np.arange(scores.shape[2]) < paths.states[:, None]))] = 0
    count, batch, classes = log_probs.shape
    places = (np.arange(count)[:, None] * batch + np.arange(batch))[:, :, None] * classes + paths.labels
    occupied = np.bincount(places.ravel(), posterior.ravel(), log_probs.size).reshape(log_probs.shape)
    found = np.exp(log_probs.astype(np.float64)) - occupied
    found[:, np.isinf(totals)] = 0 if zero_infinity else np.nan
    return np.where(there, found, 0).astype(log_probs.dtype)


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


def _check_labels(targets: Tensor, lengths: tuple[int, ...], single: bool) -> None:
    """Labels lie one after the other, or padded in a row for each sample."""
    rows = targets.dim() == 2
    wanted = [(0, len(lengths), True), (1, max(lengths), False)] if rows else [(0, max(lengths) if single else sum(lengths), True)]
    for dim, size, exact in wanted:
        if targets.shape[dim] != size if exact else targets.shape[dim] < size:
            raise RuntimeError(
                f"Expected tensor to have size {'' if exact else 'at least '}{size} at dimension {dim}, but got size {targets.shape[dim]} for argument #2 'targets' (while checking arguments for ctc_loss_allocate_outputs)"
            )


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
    _check_labels(targets, outputs, log_probs.dim() == 2)
    labels = targets.unsqueeze(0) if log_probs.dim() == 2 and targets.dim() == 1 else targets
    loss = apply(_ctc, (batched, labels.to(dt.int64)), (inputs, outputs, blank, bool(zero_infinity)))
    if reduction == "mean":
        return (loss / tensor(outputs, dtype=loss.dtype).clamp(min=1)).mean()
    return reduce_loss(loss.squeeze(0) if log_probs.dim() == 2 else loss, reduction)
