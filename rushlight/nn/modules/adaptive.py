"""Adaptive softmax: a softmax over many classes that spends little on the rare ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ... import ops
from .. import functional as F
from ..container import ModuleList, Sequential
from ..module import Module
from .linear import Linear

if TYPE_CHECKING:
    from ...dtypes import dtype as DType
    from ...tensor import Tensor
    from .utils import DeviceLike


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-softmax over ``n_classes`` classes sorted by frequency, and its mean loss (Grave et al., 2017).

    ``cutoffs`` splits the classes: those before the first are scored by the head; each later cluster has a tail of
    its own, ``div_value`` times narrower than the one before.

    >>> layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs=[5, 10])
    >>> layer(torch.ones(2, 16), torch.tensor([3, 12])).output.shape
    torch.Size([2])
    """

    in_features: int
    n_classes: int
    cutoffs: list[int]
    div_value: float
    head_bias: bool
    head: Linear
    tail: ModuleList

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: DeviceLike = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or cutoffs[0] <= 0
            or cutoffs[-1] > n_classes - 1
            or any(int(cutoff) != cutoff for cutoff in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                "where each value is between 1 and n_classes-1"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(pairwise(self.cutoffs), start=1):
            width = int(in_features // div_value**number)
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, device=device, dtype=dtype),
                    Linear(width, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw the head, then the tails."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection.children():
                layer.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        """The log-probability of each target, and the mean negative one."""
        _check_target(input_, target_)
        is_batched = target_.dim() > 0
        input = input_ if is_batched else input_.unsqueeze(0)
        target = target_ if is_batched else target_.unsqueeze(0)
        batch_size = target.size(0)

        output = input.new_zeros(batch_size)
        head_index = target.new_empty(batch_size)
        rows_done = 0
        for cluster, (low, high) in enumerate(pairwise([0, *self.cutoffs])):
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            rows_done += rows.numel()
            cluster_target = target.index_select(0, rows)
            if cluster == 0:
                head_index.index_copy_(0, rows, cluster_target)
                continue
            head_index.index_fill_(0, rows, self.shortlist_size + cluster - 1)
            log_prob = F.log_softmax(self.tail[cluster - 1](input.index_select(0, rows)), dim=1)
            output.index_copy_(0, rows, log_prob.gather(1, (cluster_target - low).unsqueeze(1)).squeeze(1))
        if rows_done != batch_size:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{target.min().item()}, {target.max().item()}] were found. "
            )
        head_log_prob = F.log_softmax(self.head(input), dim=1)
        output = output + head_log_prob.gather(1, head_index.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if is_batched else output.squeeze(0), loss)

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        head_log_prob = F.log_softmax(head_output, dim=1)
        parts = [head_log_prob[:, : self.shortlist_size]]
        for cluster, tail in enumerate(self.tail):
            cluster_log_prob = head_log_prob[:, self.shortlist_size + cluster].unsqueeze(1)
            parts.append(F.log_softmax(tail(input), dim=1) + cluster_log_prob)
        return ops.cat(parts, dim=1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Log-probabilities of all classes: ``(N, in_features)`` to ``(N, n_classes)``.

        >>> chances = nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs=[4]).log_prob(torch.zeros(3, 8)).exp()
        >>> chances.shape, torch.allclose(chances.sum(1), torch.ones(3))
        (torch.Size([3, 10]), True)
        """
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most likely class of each row; the tails are computed only for rows whose head points at one.

        >>> nn.AdaptiveLogSoftmaxWithLoss(8, 10, cutoffs=[4]).predict(torch.zeros(3, 8)).shape
        torch.Size([3])
        """
        head_output = self.head(input)
        output = head_output.argmax(dim=1)
        in_tail = output >= self.shortlist_size
        if in_tail.any():
            output[in_tail] = self._get_full_log_prob(input[in_tail], head_output[in_tail]).argmax(dim=1)
        return output


def _check_target(input: Tensor, target: Tensor) -> None:
    if target.dim() == 1:
        if input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != 2:
            raise RuntimeError(f"1D target tensor expects 2D input tensors, but found inputs with size {input.size()}")
    elif target.dim() == 0:
        if input.dim() != 1:
            raise RuntimeError(f"0D target tensor expects 1D input tensors, but found inputs with size {input.size()}")
    else:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
