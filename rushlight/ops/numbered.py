"""Functions of `torch` that `nn.functional` has under the same name with other arguments: reductions as numbers, the table first.

Where no reduction is given, PyTorch takes none: its documented default of 1 is not what its argument parser reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import classification_loss, loss
from .ctc import ctc_loss
from .define import as_tensor_argument
from .embedding import embedding

if TYPE_CHECKING:
    from ..tensor import Tensor

_REDUCTIONS = ("none", "mean", "sum")


def _reduction(number: int) -> str:
    """PyTorch takes any other number for "none"."""
    return _REDUCTIONS[number] if number in (1, 2) else "none"


def torch_kl_div(input: Tensor, target: Tensor, reduction: int = 0, *, log_target: bool = False) -> Tensor:
    """`F.kl_div` with the reduction as a number: 0 for none, 1 for the mean, 2 for the sum.

    >>> torch.kl_div(torch.tensor([0.5]).log(), torch.tensor([1.]), 2)
    tensor(0.6931)
    """
    each = loss.kl_div(as_tensor_argument(input, "kl_div"), as_tensor_argument(target, "kl_div", "target", 2), reduction="none", log_target=log_target)
    return loss.reduce_loss(each, _reduction(reduction))


def torch_binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None, pos_weight: Tensor | None = None, reduction: int = 0) -> Tensor:
    """`F.binary_cross_entropy_with_logits` with the reduction as a number.

    >>> torch.binary_cross_entropy_with_logits(torch.tensor([0., 1.]), torch.tensor([1., 0.]))
    tensor([0.6931, 1.3133])
    """
    return classification_loss.binary_cross_entropy_with_logits(input, target, weight, reduction=_reduction(reduction), pos_weight=pos_weight)


def torch_poisson_nll_loss(input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: int) -> Tensor:
    """`F.poisson_nll_loss` with the reduction as a number.

    >>> torch.poisson_nll_loss(torch.tensor([0.]), torch.tensor([1.]), True, False, 1e-8, 1)
    tensor(1.)
    """
    return loss.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction))


def torch_hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: int = 0) -> Tensor:
    """`F.hinge_embedding_loss` with the reduction as a number.

    >>> torch.hinge_embedding_loss(torch.tensor([0.5]), torch.tensor([-1.]))
    tensor([0.5000])
    """
    return loss.hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


def torch_margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`F.margin_ranking_loss` with the reduction as a number.

    >>> torch.margin_ranking_loss(torch.tensor([1.]), torch.tensor([3.]), torch.tensor([1.]))
    tensor([2.])
    """
    return loss.margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def torch_cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: int = 0) -> Tensor:
    """`F.cosine_embedding_loss` with the reduction as a number.

    >>> torch.cosine_embedding_loss(torch.tensor([[1., 0.]]), torch.tensor([[0., 1.]]), torch.tensor([1.]))
    tensor([1.])
    """
    return loss.cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def torch_triplet_margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0, p: float = 2, eps: float = 1e-6, swap: bool = False, reduction: int = 0) -> Tensor:
    """`F.triplet_margin_loss` with the reduction as a number.

    >>> torch.triplet_margin_loss(torch.tensor([[1.]]), torch.tensor([[1.]]), torch.tensor([[5.]]))
    tensor([0.])
    """
    return loss.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction))


def torch_ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: int = 0, zero_infinity: bool = False) -> Tensor:
    """`F.ctc_loss` with the reduction as a number.

    >>> torch.ctc_loss(torch.tensor([[[-0.5, -1.5]]]), torch.tensor([[1]]), (1,), (1,))
    tensor([1.5000])
    """
    return ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction), zero_infinity)


def torch_embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """`F.embedding` with the table first; a `padding_idx` outside of it is none.

    >>> torch.embedding(torch.tensor([[1., 2.], [3., 4.]]), torch.tensor([1]))
    tensor([[3., 4.]])
    """
    rows = as_tensor_argument(weight, "embedding", "weight").shape[0]
    return embedding(indices, weight, padding_idx if 0 <= padding_idx < rows else None, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
