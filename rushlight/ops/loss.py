"""Losses that compare predictions with targets element by element, and pairs and triplets of vectors.

Classification losses are in `classification_loss.py`, CTC in `ctc.py`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..errors import sizes
from ..shape import Shape, broadcast_shapes
from ..storage import TensorBase
from . import elementwise_loss
from .card import apply
from .creation import full_like, zeros_like
from .define import NOT_FLOAT, check_tensors, have_same_size, refuse_dtypes, titled

if TYPE_CHECKING:
    from ..tensor import Tensor


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that the deprecated `size_average` and `reduce` stand for, with PyTorch's warning."""
    if size_average is None and reduce is None:
        return reduction
    average, reduced = (True if v is None else v for v in (size_average, reduce))
    found = ("mean" if average else "sum") if reduced else "none"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{found}' instead.", stacklevel=3)
    return found


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """The loss itself, its mean or its sum."""
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _warn_sizes(input: TensorBase, target: TensorBase) -> None:
    if not have_same_size(input, target):
        warnings.warn(
            f"Using a target size ({target._layout.size}) that is different to the input size ({input._layout.size}). This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


def _require_floats(kernel: str, input: TensorBase, target: TensorBase) -> None:
    refuse_dtypes(kernel, dt.promote_cached(input._layout.dtype, target._layout.dtype), NOT_FLOAT)


def _elementwise(rule: Callable[[Tensor, Tensor], Tensor], input: Tensor, target: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    loss = rule(input, target)
    if weight is None:
        return reduce_loss(loss, reduction)
    if weight._layout.shape != input._layout.shape:
        raise ValueError("Weights and input must have the same size.")
    weighted = loss * weight
    return weighted.sum() / weight.sum() if reduction == "mean" else reduce_loss(weighted, reduction)


@autocasts(SINGLE)
def mse_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The mean squared error.

    >>> F.mse_loss(torch.tensor([1., 2.]), torch.tensor([1., 4.]))
    tensor(2.)
    """
    _warn_sizes(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if weight is None and elementwise_loss.fits(input, target, reduction):
        return apply(elementwise_loss.mse, (input, target), (reduction,))
    _require_floats("mse_cpu", input, target)
    found = _elementwise(lambda a, b: (a - b).square(), input, target, reduction, weight)
    return titled(found, "MseLossBackward0") if weight is None else found


@autocasts(SINGLE)
def l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", weight: Tensor | None = None) -> Tensor:
    """The mean absolute error.

    >>> F.l1_loss(torch.tensor([1., 2.]), torch.tensor([1., 4.]))
    tensor(1.)
    """
    _warn_sizes(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    return _elementwise(lambda a, b: (a - b).abs(), input, target, reduction, weight)


@autocasts(SINGLE)
def smooth_l1_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """The squared error below `beta`, the absolute error above (https://arxiv.org/abs/1504.08083).

    >>> F.smooth_l1_loss(torch.tensor([0.]), torch.tensor([2.]))
    tensor(1.5000)
    """
    _warn_sizes(input, target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    if elementwise_loss.fits(input, target, reduction):
        return apply(elementwise_loss.smooth_l1, (input, target, float(beta)), (reduction,))
    _require_floats("smooth_l1_cpu", input, target)
    error = (input - target).abs()
    loss = _where(error < beta, 0.5 * error * error / beta, error - 0.5 * beta)
    return titled(reduce_loss(loss, reduction), "SmoothL1LossBackward0")


def _where(condition: Any, a: Any, b: Any) -> Any:
    from .combine import where

    return where(condition, a, b)


@autocasts(SINGLE)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None) -> Tensor:
    """Half the squared error below `delta`, `delta` times the absolute error above.

    >>> F.huber_loss(torch.tensor([0.]), torch.tensor([3.]), delta=2.0)
    tensor(4.)
    """
    _warn_sizes(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None and elementwise_loss.fits(input, target, reduction):
        return apply(elementwise_loss.huber, (input, target, float(delta)), (reduction,))

    _require_floats("huber_cpu", input, target)

    def rule(a: Tensor, b: Tensor) -> Tensor:
        error = (a - b).abs()
        return _where(error <= delta, 0.5 * error * error, delta * (error - 0.5 * delta))

    found = _elementwise(rule, input, target, reduction, weight)
    return titled(found, "HuberLossBackward0") if weight is None else found


@autocasts(SINGLE)
def kl_div(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """The Kullback-Leibler divergence from log-probabilities `input` to `target` (log-probabilities if `log_target`).

    >>> F.kl_div(torch.tensor([0.5]).log(), torch.tensor([1.]), reduction="sum")
    tensor(0.6931)
    """
    reduction = legacy_reduction(size_average, reduce, reduction) if reduction != "batchmean" else reduction
    if reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only by the batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    check_tensors("kl_div", input=input, target=target)
    for t in (input, target):
        if t._layout.dtype.category != dt.FLOAT:
            raise RuntimeError(f"kl_div: {'Complex' if t._layout.dtype.is_complex else 'Integral'} inputs not supported.")
    loss = target.exp() * (target - input) if log_target else target.xlogy(target) - target * input
    if reduction == "batchmean":
        return loss.sum() / input.shape[0] if input.dim() else loss.sum()
    return reduce_loss(loss, reduction)


@autocasts(SINGLE)
def poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool = True, full: bool = False, size_average: bool | None = None, eps: float = 1e-8, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """The negative log-likelihood of a Poisson target; `full` adds Stirling's term.

    >>> F.poisson_nll_loss(torch.tensor([0.]), torch.tensor([1.]))
    tensor(1.)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    check_tensors("poisson_nll_loss", input=input, target=target)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(input: Tensor, target: Tensor, var: Tensor | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Tensor:
    """The negative log-likelihood of a normal target with mean `input` and variance `var`.

    >>> F.gaussian_nll_loss(torch.tensor([1.]), torch.tensor([3.]), torch.tensor([1.]))
    tensor(2.)
    """
    negative: Any = var < 0
    if bool(negative.any() if hasattr(negative, "any") else negative):
        raise ValueError("var has negative entry/entries")
    if not isinstance(var, TensorBase):
        var = var * input.new_ones(input.shape)  # type: ignore[operator]
    assert isinstance(var, TensorBase)
    if var._layout.shape != input._layout.shape:
        if input._layout.shape[:-1] == var._layout.shape:
            var = var.unsqueeze(-1)  # type: ignore[attr-defined]
        elif not _has_one_other_dim(input._layout.shape, var._layout.shape):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    # The floor on the variance takes no part in the gradient.
    floored: Any = var.clone()  # type: ignore[attr-defined]
    from ..grad_mode import no_grad

    with no_grad():
        floored.clamp_(min=eps)
    loss = 0.5 * (floored.log() + (input - target).square() / floored)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduce_loss(loss, reduction)


def _has_one_other_dim(shape: Shape, var: Shape) -> bool:
    """Whether a variance has one dim of size 1 where the input has more, and is alike otherwise."""
    return len(shape) == len(var) and [other for size, other in zip(shape, var, strict=True) if size != other] == [1]


@autocasts(SINGLE)
def soft_margin_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """``log(1 + exp(-target * input))`` for targets 1 and -1.

    >>> F.soft_margin_loss(torch.tensor([0.]), torch.tensor([1.]))
    tensor(0.6931)
    """
    check_tensors("soft_margin_loss", input=input, target=target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.requires_grad:
        raise RuntimeError("The function 'soft_margin_loss' is not differentiable with respect to argument 'target'. This input cannot have requires_grad True.")
    broadcast_shapes(input._layout.shape, target._layout.shape)
    margin = -target * input
    if input._layout.dtype.category == dt.INTEGER:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {input._layout.dtype.type_name}")
    return titled(reduce_loss(margin.exp().log1p(), reduction), "SoftMarginLossBackward0")


@autocasts(SINGLE)
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """`input` where the target is 1, ``max(0, margin - input)`` where it is -1.

    >>> F.hinge_embedding_loss(torch.tensor([0.5, 0.5]), torch.tensor([1., -1.]))
    tensor(0.5000)
    """
    check_tensors("hinge_embedding_loss", input=input, target=target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    nothing = zeros_like(input)
    apart = _where(target != 1, (full_like(input, margin) - input).clamp(min=0), nothing)
    together = _where(target != -1, input, nothing)
    return reduce_loss(apart + together, reduction)


@autocasts(SINGLE)
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``.

    >>> F.margin_ranking_loss(torch.tensor([1.]), torch.tensor([3.]), torch.tensor([1.]))
    tensor(2.)
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduce_loss(((input1 - input2) * -target + float(margin)).clamp_min(0), reduction)


@autocasts(SINGLE)
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """``1 - cos`` where the target is 1, ``max(0, cos - margin)`` where it is -1.

    >>> F.cosine_embedding_loss(torch.tensor([1., 0.]), torch.tensor([0., 1.]), torch.tensor(1.))
    tensor(1.)
    """
    check_tensors("cosine_embedding_loss", input1=input1, input2=input2, target=target)
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target.dim() > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.dim() == 2 and target.dim() != 1 or input1.dim() == 1 and target.dim() != 0 or input1.dim() not in (1, 2):
        expected = f"{input1.dim() - 1}D target tensor expects {input1.dim()}D input tensors" if input1.dim() in (1, 2) else "0D target tensor expects 1D input tensors, 1D target tensor expects 2D input tensors"
        raise RuntimeError(f"{expected}, but found inputs with sizes {sizes(input1.shape)} and {sizes(input2.shape)} and target with size {sizes(target.shape)}.")
    # PyTorch's own epsilon, inside the square roots.
    dot = (input1 * input2).sum(-1)
    first, second = input1.square().sum(-1) + 1e-12, input2.square().sum(-1) + 1e-12
    cosine = dot / (first * second).sqrt()
    loss = _where(target == 1, 1 - cosine, 0.0) + _where(target == -1, (cosine - margin).clamp(min=0), 0.0)
    return reduce_loss(loss, reduction)


@autocasts(SINGLE)
def triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)`` (http://www.bmva.org/bmvc/2016/papers/paper119).

    >>> F.triplet_margin_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    tensor(1.)
    """
    from . import pairwise_distance

    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    check_tensors("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    return _triplet(lambda a, b: pairwise_distance(a, b, p, eps), anchor, positive, negative, margin, swap, reduction)


def _triplet(distance: Callable[[Tensor, Tensor], Tensor], anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, swap: bool, reduction: str) -> Tensor:
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduce_loss((margin + near - far).clamp_min(0), reduction)


def triplet_margin_with_distance_loss(anchor: Tensor, positive: Tensor, negative: Tensor, *, distance_function: Callable[[Tensor, Tensor], Tensor] | None = None, margin: float = 1.0, swap: bool = False, reduction: str = "mean") -> Tensor:
    """`triplet_margin_loss` with a distance of your own (`pairwise_distance` when None).

    >>> F.triplet_margin_with_distance_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    tensor(1.)
    """
    from . import pairwise_distance

    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    return _triplet(distance_function or pairwise_distance, anchor, positive, negative, margin, swap, reduction)
