"""Losses of classification: cross entropy in its forms, and margins between classes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import SINGLE, autocasts
from ..engine import class_loss
from ..engine.lowering import AS_FLOAT, Calls, Loop
from ..errors import check_float, check_int, sizes
from ..shape import Layout, contiguous
from ..storage import ON_META, TensorBase
from . import elementwise_loss
from .card import Card, Pointwise, apply, array_of, checking_values, value_range
from .define import NOT_FLOAT, NOT_SINGLE, as_tensor_argument, check_tensors, have_same_size, refuse_dtypes, titled
from .gradient_entry import through
from .loss import legacy_reduction, reduce_loss

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .card import Plan


def check_targets(target: TensorBase, classes: int, ignore_index: int) -> None:
    """Raise PyTorch's IndexError for a class that does not exist."""
    if target._layout.numel and target._storage.special != ON_META:
        checking_values(_check_range, target, classes, ignore_index)


def _check_range(target: TensorBase, classes: int, ignore_index: int) -> None:
    least, largest = value_range(target)
    if least >= 0 and largest < classes:
        return
    values = array_of(target)
    wrong = ((values < 0) | (values >= classes)) & (values != ignore_index)
    if wrong.any():
        raise IndexError(f"Target {int(values[wrong].flat[0])} is out of bounds.")


def _check_shapes(input: Layout, target: Layout, weight: Layout | None, function: str) -> None:
    if input.ndim == 0:
        raise RuntimeError("input tensor should be 1D or 2D")
    batch = input.shape[:1] if input.ndim > 1 else ()
    rest = input.shape[2:]
    if input.ndim > 1 and (not target.ndim or target.shape[0] != batch[0]):
        raise ValueError(f"Expected input batch_size ({batch[0]}) to match target batch_size ({target.shape[0] if target.ndim else 1}).")
    if target.shape != (*batch, *rest):
        if input.ndim == 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported") if target.ndim > 1 else ValueError(f"Expected input batch_size (1) to match target batch_size ({target.shape[0]}).")
        if input.ndim == 2:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input.ndim == 4:
            if target.ndim != 3:
                raise RuntimeError(f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {target.ndim}")
            raise RuntimeError(f"size mismatch (got input: {sizes(input.shape)} , target: {sizes(target.shape)}")
        raise RuntimeError(f"Expected target size {sizes((*batch, *rest))}, got {sizes(target.shape)}")
    if weight is not None and weight.shape != (input.shape[1 if input.ndim > 1 else 0],):
        raise RuntimeError(f"weight tensor should be defined either for all {input.shape[1 if input.ndim > 1 else 0]} classes or no classes but got weight tensor of shape: {sizes(weight.shape)}")
    if weight is not None and weight.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {weight.dtype.type_name}")


def _check_target_dtype(target: Layout) -> None:
    if target.dtype not in (dt.int64, dt.uint8):
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {target.dtype.type_name}")


def _require_long(target: Layout) -> None:
    if target.dtype is not dt.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.type_name}")


def _class_dim(ndim: int) -> int:
    return 1 if ndim > 1 else 0


def _picked(target: np.ndarray, weight: np.ndarray | None, classes: int, ignore_index: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The class of each sample (0 where ignored) and the weight of each sample (0 where ignored)."""
    kept = target != ignore_index
    classes_of = np.where(kept, target, 0)
    weights = kept.astype(dtype) if weight is None else np.where(kept, weight[classes_of], 0).astype(dtype)
    return classes_of, weights


def _infer_loss(input: Layout, target: Layout, weight: Layout | None = None, *, reduction: str, **_: Any) -> Layout:
    return contiguous(target.shape if reduction == "none" else (), input.dtype)


def _reduced(loss: np.ndarray, weights: np.ndarray, reduction: str) -> np.ndarray:
    if reduction == "none":
        return loss
    total = loss.sum()
    return total / weights.sum() if reduction == "mean" else total


def _wide(array: np.ndarray) -> np.ndarray:
    """Half precision as float32."""
    return array if array.dtype.itemsize > 2 else array.astype(np.float32)


def _nll_rule(input: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, *, ignore_index: int, reduction: str) -> np.ndarray:
    input = _wide(input)
    dim = _class_dim(input.ndim)
    classes_of, weights = _picked(target, weight, input.shape[dim], ignore_index, input.dtype)
    found = np.take_along_axis(input, np.expand_dims(classes_of, dim), dim).squeeze(dim) if input.size else np.zeros(target.shape, input.dtype)
    return _reduced(np.where(weights == 0, 0, -found * weights), weights, reduction)


def _sample_scale(g: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str) -> Tensor:
    """The factor of each sample's loss in the gradient: its weight, times `g`, over the sum of weights for a mean."""
    kept = target != ignore_index
    scale = kept.to(g.dtype) if weight is None else weight.index_select(0, target.masked_fill(~kept, 0).reshape(-1)).reshape(target.shape) * kept
    if reduction == "mean":
        return (scale * (g / scale.sum())).masked_fill(~kept, 0)
    return scale * g


def _scale_rule(g: np.ndarray, target: np.ndarray, weights: np.ndarray, ignore_index: int, reduction: str) -> np.ndarray:
    """`_sample_scale` of arrays, from the weight of each sample."""
    return np.where(target != ignore_index, weights * (g / weights.sum() if reduction == "mean" else g), 0).astype(weights.dtype, copy=False)


def _infer_backward(grad_output: Layout, input: Layout, *_: Any, **__: Any) -> Layout:
    return contiguous(input.shape, input.dtype)


def _nll_backward_rule(grad_output: np.ndarray, input: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, *, ignore_index: int, reduction: str) -> np.ndarray:
    dim = _class_dim(input.ndim)
    found = np.zeros(input.shape, _wide(input).dtype)
    if found.size:
        classes_of, weights = _picked(target, weight, input.shape[dim], ignore_index, found.dtype)
        scale = _scale_rule(_wide(grad_output), target, weights, ignore_index, reduction)
        np.put_along_axis(found, np.expand_dims(classes_of, dim), np.expand_dims(-scale, dim), dim)
    return found


def _nll_double_gradient(g: Tensor, target: Tensor, weight: Tensor | None, needs: tuple[bool, ...], ignore_index: int, reduction: str) -> list[Any]:
    """The gradient is linear in `grad_output`, with the loss itself as its transpose, and does not depend on `input`."""
    of_grad_output = apply(_nll, (g, target, weight)[: len(needs) - 1], (ignore_index, reduction)) if needs[0] else None
    of_input = g.new_zeros(g.shape) if needs[1] else None
    return [of_grad_output, of_input, None, None][: len(needs)]


_nll_backward = Card(
    "nll_loss_backward", "grad_output input target weight",
    statics="ignore_index reduction", outputs="grad_input",
    infer=_infer_backward, numpy=_nll_backward_rule, backward=_nll_double_gradient, lowering=Calls(class_loss.backward, half=AS_FLOAT),
)  # fmt: skip


def _nll_gradient(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, needs: Any, ignore_index: int, reduction: str) -> list[Any]:
    found = apply(_nll_backward, (g, input, target, weight)[: 1 + len(needs)], (ignore_index, reduction))
    return [found, None, None][: len(needs)]


def _loss_node(plan: Plan) -> str:
    """PyTorch takes all dims but the class as those of an image, and adds a smoothed part in an op of its own."""
    if plan.params.get("label_smoothing"):
        return "AddBackward0"
    ndim = plan.operands[0].ndim
    if ndim < 3:
        return "NllLossBackward0"
    return "ViewBackward0" if plan.params["reduction"] == "none" and ndim != 4 else "NllLoss2DBackward0"


_nll = Card(
    "nll_loss", "input target weight",
    statics="ignore_index reduction",
    infer=_infer_loss, numpy=_nll_rule, backward=_nll_gradient, lowering=Calls(class_loss.forward, half=AS_FLOAT), node_name=_loss_node,
    onnx="NegativeLogLikelihoodLoss",
)  # fmt: skip


@autocasts(SINGLE)
def nll_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """The negative log-likelihood of `target` classes under log-probabilities (N, C, ...) or (C,).

    >>> F.nll_loss(torch.tensor([[-1., -2.]]), torch.tensor([1]))
    tensor(2.)
    """
    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not isinstance(target, TensorBase):
        check_tensors("nll_loss_nd", input=input, target=target)
    if not as_tensor_argument(input, "nll_loss_nd")._layout.ndim:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    _check_shapes(input._layout, target._layout, weight._layout if weight is not None else None, "nll_loss")
    _check_target_dtype(target._layout)
    refuse_dtypes("nll_loss_out_frame", input._layout.dtype, NOT_FLOAT)
    check_int("nll_loss_nd", "ignore_index", 5, ignore_index)
    check_targets(target, input._layout.shape[_class_dim(input._layout.ndim)], ignore_index)
    return apply(_nll, (input, target) if weight is None else (input, target, weight), (ignore_index, reduction))


def _check_reduction(reduction: str) -> str:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _cross_entropy_rule(input: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, *, ignore_index: int, reduction: str, label_smoothing: float) -> np.ndarray:
    input = _wide(input)
    dim = _class_dim(input.ndim)
    classes = input.shape[dim]
    classes_of, weights = _picked(target, weight, classes, ignore_index, input.dtype)
    if not input.size:
        return _reduced(np.zeros(target.shape, input.dtype), weights, reduction)
    shifted = input - input.max(dim, keepdims=True)
    norm = np.log(np.exp(shifted).sum(dim, keepdims=True))
    chosen = np.take_along_axis(shifted, np.expand_dims(classes_of, dim), dim) - norm
    loss = np.where(weights == 0, 0, -chosen.squeeze(dim) * weights)
    if label_smoothing:
        log_probabilities = shifted - norm
        shape = [classes if d == dim else 1 for d in range(input.ndim)]
        weighted = log_probabilities if weight is None else log_probabilities * weight.reshape(shape)
        smooth = np.where(target != ignore_index, -weighted.sum(dim), 0)
        loss = loss * (1 - label_smoothing) + smooth * (label_smoothing / classes)
    return _reduced(loss, weights, reduction)


def _cross_entropy_backward_rule(grad_output: np.ndarray, input: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, *, ignore_index: int, reduction: str, label_smoothing: float) -> np.ndarray:
    input = _wide(input)
    if not input.size:
        return input
    dim = _class_dim(input.ndim)
    classes = input.shape[dim]
    classes_of, weights = _picked(target, weight, classes, ignore_index, input.dtype)
    g = _wide(grad_output)
    scale = _scale_rule(g, target, weights, ignore_index, reduction)
    found = input - input.max(dim, keepdims=True)
    np.exp(found, out=found)
    total = scale
    if label_smoothing:
        # Of the loss, `scale` is on the target and `spread` on every class.
        spread = np.where(target != ignore_index, g / weights.sum() if reduction == "mean" else g, 0) * input.dtype.type(label_smoothing / classes)
        scale = scale * input.dtype.type(1 - label_smoothing)
        total = scale + spread * (classes if weight is None else _wide(weight).sum())
    found *= np.expand_dims(total, dim) / found.sum(dim, keepdims=True)
    if label_smoothing:
        each = 1 if weight is None else weight.reshape([classes if d == dim else 1 for d in range(input.ndim)])
        found -= np.expand_dims(spread, dim) * each
    picked = np.expand_dims(classes_of, dim)
    np.put_along_axis(found, picked, np.take_along_axis(found, picked, dim) - np.expand_dims(scale, dim), dim)
    return found


def _cross_entropy_formula(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, label_smoothing: float) -> Tensor:
    from .creation import zeros
    from .softmax import softmax

    dim = _class_dim(input.dim())
    classes = input.shape[dim]
    scale = _sample_scale(g, target, weight, ignore_index, reduction)
    safe = target.masked_fill(target == ignore_index, 0).unsqueeze(dim)
    probabilities = softmax(input, dim)
    if not label_smoothing:
        found = probabilities * scale.unsqueeze(dim)
        return found.scatter_add(dim, safe, -scale.unsqueeze(dim))
    # The gradient with respect to the log-probabilities, then through log_softmax.
    kept = target != ignore_index
    share = g.expand(target.shape)
    if reduction == "mean":
        share = share / _sample_scale(g.new_ones(()), target, weight, ignore_index, "sum").sum()
    each = share.masked_fill(~kept, 0).unsqueeze(dim) * (-label_smoothing / classes)
    each = each.expand(input.shape) if weight is None else each * weight.reshape([classes if d == dim else 1 for d in range(input.dim())])
    inner = zeros(input.shape, dtype=g.dtype).scatter(dim, safe, -scale.unsqueeze(dim) * (1 - label_smoothing)) + each
    return inner - probabilities * inner.sum(dim, keepdim=True)


def _cross_entropy_double_gradient(g: Tensor, grad_output: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, needs: tuple[bool, ...], ignore_index: int, reduction: str, label_smoothing: float) -> list[Any]:
    found = through(_cross_entropy_formula, g, needs[:2], (grad_output, input), target, weight, ignore_index, reduction, label_smoothing)
    return [*found, *[None] * (len(needs) - 2)]


_cross_entropy_backward = Card(
    "cross_entropy_backward", "grad_output input target weight",
    statics="ignore_index reduction label_smoothing", outputs="grad_input",
    infer=_infer_backward, numpy=_cross_entropy_backward_rule, backward=_cross_entropy_double_gradient, lowering=Calls(class_loss.backward, half=AS_FLOAT),
)  # fmt: skip


def _cross_entropy_gradient(g: Tensor, input: Tensor, target: Tensor, weight: Tensor | None, needs: Any, ignore_index: int, reduction: str, label_smoothing: float) -> list[Any]:
    found = apply(_cross_entropy_backward, (g, input, target, weight)[: 1 + len(needs)], (ignore_index, reduction, label_smoothing))
    return [found, None, None][: len(needs)]


_cross_entropy = Card(
    "cross_entropy", "input target weight",
    statics="ignore_index reduction label_smoothing",
    infer=_infer_loss, numpy=_cross_entropy_rule, backward=_cross_entropy_gradient, lowering=Calls(class_loss.forward, half=AS_FLOAT),
    node_name=_loss_node, onnx="SoftmaxCrossEntropyLoss",
)  # fmt: skip


@autocasts(SINGLE)
def cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, ignore_index: int = -100, reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0) -> Tensor:
    """The cross entropy of logits (N, C, ...) or (C,) with target classes (N, ...) or target probabilities (N, C, ...).

    >>> F.cross_entropy(torch.tensor([[0., 0.]]), torch.tensor([1]))
    tensor(0.6931)
    """
    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    as_tensor_argument(input, "cross_entropy_loss", "input", 1)
    as_tensor_argument(target, "cross_entropy_loss", "target", 2)
    check_int("cross_entropy_loss", "ignore_index", 5, ignore_index)
    check_float("cross_entropy_loss", "label_smoothing", 6, label_smoothing)
    if label_smoothing > 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    label_smoothing = max(label_smoothing, 0.0)
    if input._layout.shape == target._layout.shape and input._layout.ndim:
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _cross_entropy_of_probabilities(input, target, weight, reduction, label_smoothing)
    if not input._layout.dtype.is_floating_point:
        kernel = "log_softmax_lastdim" if _class_dim(input._layout.ndim) == input._layout.ndim - 1 else "softmax"
        raise NotImplementedError(f"\"{kernel}_kernel_impl\" not implemented for '{input._layout.dtype.type_name}'")
    _check_shapes(input._layout, target._layout, weight._layout if weight is not None else None, "cross_entropy")
    _check_target_dtype(target._layout)
    check_targets(target, input._layout.shape[_class_dim(input._layout.ndim)], ignore_index)
    operands = (input, target) if weight is None else (input, target, weight)
    return apply(_cross_entropy, operands, (ignore_index, reduction, float(label_smoothing)))


def _cross_entropy_of_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float) -> Tensor:
    from .softmax import log_softmax

    if not target._layout.dtype.is_floating_point:
        raise RuntimeError(f"Expected floating point type for target with class probabilities, got {target._layout.dtype.type_name}")
    dim = _class_dim(input.dim())
    classes = input.shape[dim]
    if weight is not None and weight._layout.shape != (classes,):
        raise RuntimeError(f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {sizes(weight._layout.shape)}")
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = log_softmax(input, dim) * target
    if weight is not None:
        terms = terms * weight.reshape([classes if d == dim else 1 for d in range(input.dim())])
    loss = -terms.sum(dim)
    if reduction == "mean":
        samples = input.numel() // classes if classes else 0
        return titled(loss.sum() / samples if input.dim() > 1 else loss.sum(), "DivBackward1")
    return titled(reduce_loss(loss, reduction), "NegBackward0")


@autocasts(SINGLE)
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """The cross entropy of probabilities with targets between 0 and 1; logarithms are kept above -100.

    >>> F.binary_cross_entropy(torch.tensor([0.5]), torch.tensor([1.]))
    tensor(0.6931)
    """
    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not have_same_size(input, target):
        raise ValueError(f"Using a target size ({target._layout.size}) that is different to the input size ({input._layout.size}) is deprecated. Please ensure they have the same size.")
    if target._layout.dtype is not input._layout.dtype:
        raise RuntimeError(f"Found dtype {target._layout.dtype.type_name} but expected {input._layout.dtype.type_name}")
    refuse_dtypes("binary_cross_entropy", input._layout.dtype, NOT_FLOAT)
    for name, given in (("input", input), ("target", target)):
        if given._layout.numel and given._storage.special != ON_META:
            values = array_of(given)
            if not bool(((values >= 0) & (values <= 1)).all()):
                raise RuntimeError(f"all elements of {name} should be between 0 and 1")
    loss = apply(_binary_cross_entropy, (input, target))
    return titled(reduce_loss(loss if weight is None else loss * weight, reduction), "BinaryCrossEntropyBackward0")


def _binary_cross_entropy_formula(grad_output: Tensor, input: Tensor, target: Tensor) -> Tensor:
    return grad_output * (input - target) / (input * (1 - input)).clamp(min=1e-12)


_binary_cross_entropy_backward = Pointwise(
    "binary_cross_entropy_backward", "grad_output input target",
    outputs="grad_input",
    numpy=lambda grad_output, input, target: grad_output * (input - target) / np.maximum(input * (1 - input), input.dtype.type(1e-12)),
    lowering=Loop(lambda k, grad_output, input, target: grad_output * (input - target) / k.maximum(input * (1 - input), 1e-12)),
    backward=lambda g, grad_output, input, target, needs: through(_binary_cross_entropy_formula, g, needs, (grad_output, input, target)),
)  # fmt: skip


_binary_cross_entropy = Card(
    "binary_cross_entropy", "input target",
    infer=lambda input, target: contiguous(input.shape, dt.promote_cached(input.dtype, target.dtype)),
    numpy=lambda input, target: (_wide(target) - 1) * np.maximum(np.log1p(-_wide(input)), -100) - _wide(target) * np.maximum(np.log(_wide(input)), -100),
    lowering=Loop(lambda k, input, target: (target - 1) * k.maximum(k.function("log1p", -input), -100) - target * k.maximum(k.log(input), -100)),
    grads={
        "input": lambda g, input, target: apply(_binary_cross_entropy_backward, (g, input, target)),
        "target": lambda g, input: g * ((1 - input).log().clamp(min=-100) - input.log().clamp(min=-100)),
    },
)  # fmt: skip


@autocasts(SINGLE)
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean", pos_weight: Tensor | None = None) -> Tensor:
    """The binary cross entropy of ``sigmoid(input)``, computed from the logits; `pos_weight` scales positive targets.

    >>> F.binary_cross_entropy_with_logits(torch.tensor([0.]), torch.tensor([1.]))
    tensor(0.6931)
    """
    from .activation import logsigmoid

    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    if not have_same_size(input, target):
        raise ValueError(f"Target size ({target._layout.size}) must be the same as input size ({input._layout.size})")
    if weight is None and pos_weight is None and elementwise_loss.fits(input, target, reduction):
        return apply(elementwise_loss.with_logits, (input, target), (reduction,))
    refuse_dtypes("log_sigmoid_cpu", input._layout.dtype, frozenset((dt.bool_,)))
    # PyTorch computes in the memory of ``1 - target``, so the loss has the target's dtype.
    kind = target._layout.dtype
    if kind is dt.bool_:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead.")
    if input._layout.dtype.category > kind.category:
        raise RuntimeError(f"result type {input._layout.dtype.type_name} can't be cast to the desired output type {kind.type_name}")
    if pos_weight is None:
        loss = (1 - target) * input - logsigmoid(input)
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return titled(reduce_loss((loss if weight is None else loss * weight).to(kind), reduction), "BinaryCrossEntropyWithLogitsBackward0")


def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """The binary cross entropy of each class, averaged over the classes.

    >>> F.multilabel_soft_margin_loss(torch.zeros(1, 2), torch.ones(1, 2))
    tensor(0.6931)
    """
    from .activation import logsigmoid

    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduce_loss(loss.sum(-1) / input.shape[-1], _check_reduction(reduction))


@autocasts(SINGLE)
def multi_margin_loss(input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Tensor | None = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """``sum over wrong classes of max(0, margin - input[target] + input[class]) ** p / C``.

    >>> F.multi_margin_loss(torch.tensor([[0., 1.]]), torch.tensor([1]))
    tensor(0.)
    """
    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    check_tensors("multi_margin_loss", input=input, target=target)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError("weight must be one-dimensional")
    single = input.dim() < 2
    if input.dim() > 2 or (input.dim() and not input.shape[-1]):
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {sizes(input.shape)}")
    _require_long(target._layout)
    logits = input.reshape(1, -1) if single else input
    if target.dim() > 1 or target.numel() != logits.shape[0]:
        raise RuntimeError(
            f"multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). Expected target size [{logits.shape[0]}], but got {sizes(target.shape)}. Input has shape {sizes(input.shape)}."
        )
    if weight is not None:
        if weight.dim() > 1 or weight.numel() != logits.shape[1]:
            raise RuntimeError(f"inconsistent weight size, expected {logits.shape[1]} but got {sizes(weight.shape)}")
        if weight._layout.dtype is not input._layout.dtype:
            raise RuntimeError(f"expected scalar type {input._layout.dtype.type_name} but found {weight._layout.dtype.type_name}")
    refuse_dtypes("multi_margin_loss_cpu_kernel", input._layout.dtype, NOT_SINGLE)
    _check_classes(target, logits.shape[1])
    index = target.reshape(-1, 1)
    distance = (margin - logits.gather(1, index) + logits).clamp(min=0)
    if p == 2:
        distance = distance * distance
    if weight is not None:
        distance = distance * weight.reshape(-1)[index]
    loss = distance.scatter(1, index, 0).sum(1) / logits.shape[1]
    return titled(reduce_loss(loss.reshape(target.shape) if single and target.dim() == 0 else loss, reduction), "MultiMarginLossBackward0")


def _check_classes(target: TensorBase, classes: int) -> None:
    if target._layout.numel and target._storage.special != ON_META:
        values = array_of(target)
        if values.min() < 0 or values.max() >= classes:
            raise RuntimeError("target out of range")


@autocasts(SINGLE)
def multilabel_margin_loss(input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> Tensor:
    """The margin between each target class (a row of classes ended by -1) and each other class.

    >>> F.multilabel_margin_loss(torch.tensor([[0., 1.]]), torch.tensor([[1, -1]]))
    tensor(0.)
    """
    from .creation import arange

    reduction = _check_reduction(legacy_reduction(size_average, reduce, reduction))
    check_tensors("multilabel_margin_loss", input=input, target=target)
    if input.dim() > 2 or (input.dim() and not input.shape[-1]):
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {sizes(input.shape)}")
    if target.shape != input.shape and not (input.dim() < 2 and target.numel() == input.numel() and target.dim() <= 1):
        raise RuntimeError(f"inconsistent target size: {sizes(target.shape)} for input of size: {sizes(input.shape)}")
    _require_long(target._layout)
    if target._layout.numel and target._storage.special != ON_META:
        values = array_of(target)
        if values.min() < -1 or values.max() >= input.shape[-1] if input.dim() else values.max() >= 1:
            raise RuntimeError("argument #2 'target' is out of range")
    refuse_dtypes("multilabel_margin_loss_forward_out_frame", input._layout.dtype, NOT_SINGLE)
    logits, labels = (t.reshape(1, -1) if t.dim() < 2 else t for t in (input, target))
    classes = logits.shape[1]
    # Labels count up to the first -1.
    listed = (labels < 0).to(dt.int64).cumsum(1) == 0
    safe = labels.masked_fill(~listed, 0)
    is_target = (safe.unsqueeze(2) == arange(classes)).logical_and(listed.unsqueeze(2)).any(1)
    chosen = logits.gather(1, safe)
    gaps = (1 - chosen.unsqueeze(2) + logits.unsqueeze(1)).clamp(min=0)
    counted = listed.unsqueeze(2) & ~is_target.unsqueeze(1)
    loss = gaps.masked_fill(~counted, 0).sum([1, 2]) / classes
    return titled(reduce_loss(loss.reshape(()) if input.dim() < 2 else loss, reduction), "MultilabelMarginLossBackward0")


def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None, weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None, label_smoothing: float = 0.0, options: Any = None) -> Tensor:
    """`cross_entropy` of ``linear(input, linear_weight, linear_bias)``: (N, in) with weight (C, ..., in).

    `options` ask PyTorch to work in chunks to save memory; the value is the same, and here they change nothing.

    >>> F.linear_cross_entropy(torch.ones(1, 2), torch.zeros(3, 2), torch.tensor([0]))
    tensor(1.0986)
    """
    from .matmul import linear

    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if linear_weight.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {linear_weight.dim()}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError(f"expected equal input and linear_weight last dimensions (in_features), got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively")
    outputs = tuple(linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outputs:
        raise RuntimeError(f"expected linear_bias shape {outputs}, got {tuple(linear_bias.shape)}")
    if len(outputs) > 1 and input.dim() == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} requires batched input, (N, {input.shape[-1]}), got unbatched input with shape {tuple(input.shape)}"
        )
    shape = (*input.shape[:-1], *outputs)
    if target.shape == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    if options is not None and (len(outputs) > 1 or reduction not in ("mean", "sum", "none") or label_smoothing != 0.0 or target.dtype is not dt.int64):
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, label_smoothing == 0, target.dtype == int64, out_features == (). "
            f"Got reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype={target.dtype}, out_features={outputs[1:]}, tracing=False, "
            f"linear_bias.shape={None if linear_bias is None else tuple(linear_bias.shape)}.",
            stacklevel=2,
        )
    rows = linear_weight.reshape(-1, linear_weight.shape[-1])
    logits = linear(input, rows, linear_bias if linear_bias is None else linear_bias.reshape(-1)).reshape(shape)
    return cross_entropy(logits, target, weight, None, -100 if ignore_index is None else ignore_index, None, reduction, label_smoothing)
