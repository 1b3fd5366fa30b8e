"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes as dt
from ..autocasting import LOWER, autocasts, cast
from ..dtypes import c_name as c_name
from ..engine import library
from ..engine.lowering import AS_GIVEN, LOOPED, ROW_BLOCK, Calls, Loop, Space
from ..errors import sizes
from ..graph import grad_state
from ..shape import Layout, broadcast_shapes, can_broadcast_to, contiguous, layout
from ..storage import TensorBase
from .card import Card, apply
from .define import EXACT, as_tensor_argument, call_again, titled, wants_to_be_asked, write_out
from .gradient_entry import apply_masked, masked, results, through
from .reduction import widened
from .scalars import C_NAMES, overflow
from .views import unsafe_view

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .card import Plan


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b``, in float32 for half precision. Integers wrap as PyTorch's do."""
    if a.dtype.itemsize <= 2 and a.dtype.kind not in "iu":
        return a.astype(np.float32) @ b.astype(np.float32)
    return np.matmul(a, b)


def _refuse_bools(kernel: str, dtype: dt.dtype, out: Layout, inner: int = 1) -> Layout:
    """`out`, unless PyTorch's kernel would have bools to multiply."""
    if dtype is dt.bool_ and out.numel and inner:
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")
    return out


def same_dtype(a: Layout, b: Layout) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(a.dtype)} != {c_name(b.dtype)}")


def _infer_mm(input: Layout, mat2: Layout) -> Layout:
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and {mat2.shape[0]}x{mat2.shape[1]})")
    same_dtype(input, mat2)
    return _refuse_bools("addmm_impl_cpu_", input.dtype, contiguous((input.shape[0], mat2.shape[1]), input.dtype), input.shape[1])


_mm = Card(
    "mm", "input mat2",
    infer=_infer_mm, numpy=product, lowering=Calls(library.product, half=AS_GIVEN), autocast=LOWER,
    grads={"input": lambda g, mat2: g.mm(mat2.t().conj()), "mat2": lambda g, input: input.t().conj().mm(g)},
    onnx="MatMul",
)  # fmt: skip


def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices.

    >>> torch.mm(torch.tensor([[1., 2.]]), torch.tensor([[3.], [4.]]))
    tensor([[11.]])
    """
    found = apply(_mm, (as_tensor_argument(input, "mm"), as_tensor_argument(mat2, "mm", "mat2", 2)))
    return found if out is None else write_out(out, found, exact=EXACT)


def _infer_bmm(input: Layout, mat2: Layout) -> Layout:
    if input.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if mat2.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: {sizes((input.shape[0], input.shape[2]))} but got: {sizes(mat2.shape[:2])}."
        )
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.type_name} but found {mat2.dtype.type_name}")
    return _refuse_bools("bmm", input.dtype, contiguous((input.shape[0], input.shape[1], mat2.shape[2]), input.dtype), input.shape[2])


_bmm = Card(
    "bmm", "input mat2",
    infer=_infer_bmm, numpy=product, lowering=Calls(library.product, half=AS_GIVEN), autocast=LOWER,
    grads={
        "input": lambda g, mat2: g.bmm(mat2.transpose(1, 2).conj()),
        "mat2": lambda g, input: input.transpose(1, 2).conj().bmm(g),
    },
    onnx="MatMul",
)  # fmt: skip


def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of two batches of matrices, of shapes (b, n, m) and (b, m, p).

    >>> torch.bmm(torch.ones(2, 1, 3), torch.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    found = apply(_bmm, (as_tensor_argument(input, "bmm"), as_tensor_argument(mat2, "bmm", "mat2", 2)))
    return found if out is None else write_out(out, found, exact=EXACT)


def _infer_dot(input: Layout, tensor: Layout) -> Layout:
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {input.dtype.type_name} and {tensor.dtype.type_name}")
    if input.shape != tensor.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor {sizes(input.shape)} and src {sizes(tensor.shape)} to have the same number of elements, but got {input.numel} and {tensor.numel} elements respectively"
        )
    return _refuse_bools("dot", input.dtype, contiguous((), input.dtype))


def _dot_space(plan: Any) -> Space | None:
    input = plan.operands[0]
    return Space(input.shape, 0, input.numel > ROW_BLOCK) if input.dtype in LOOPED else None


_dot = Card(
    "dot", "input tensor",
    infer=_infer_dot, numpy=product,
    lowering=Loop(lambda k, input, tensor: k.sum(input * tensor), _dot_space),
    grads={"input": lambda g, tensor: g * tensor.conj(), "tensor": lambda g, input: g * input.conj()},
)  # fmt: skip


def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors.

    >>> torch.dot(torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor(11.)
    """
    found = apply(_dot, (as_tensor_argument(input, "dot"), as_tensor_argument(tensor, "dot", "tensor", 2)))
    return found if out is None else write_out(out, found, exact="result dtype {have} does not match input dtype {want}")


def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inner product of two vectors, the first conjugated.

    >>> torch.vdot(torch.tensor([1j]), torch.tensor([1j]))
    tensor(1.+0.j)
    """
    found = dot(as_tensor_argument(input, "vdot").conj(), other)
    return found if out is None else write_out(out, found)


def _infer_mv(input: Layout, vec: Layout) -> Layout:
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    if input.shape[1] != vec.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.shape[0]}), mat ({input.shape[0]}x{input.shape[1]}), vec ({vec.shape[0]})")
    _check_addmv_dtypes(vec, input, vec)
    return _refuse_bools("addmv_impl_cpu", input.dtype, contiguous((input.shape[0],), input.dtype), input.shape[1])


def _check_addmv_dtypes(input: Layout, mat: Layout, vec: Layout) -> None:
    if input.dtype is not mat.dtype or mat.dtype is not vec.dtype:
        raise RuntimeError(f"addmv input tensors must have the same dtype, but got {input.dtype.type_name}, {mat.dtype.type_name}, and {vec.dtype.type_name}")


def _check_addmm_dtypes(input: Layout, mat1: Layout, mat2: Layout) -> None:
    for name, first in (("self", input), ("mat1", mat1)):
        if first.dtype is not mat2.dtype:
            raise RuntimeError(f"{name} and mat2 must have the same dtype, but got {first.dtype.type_name} and {mat2.dtype.type_name}")


_mv = Card(
    "mv", "input vec",
    infer=_infer_mv, numpy=product, lowering=Calls(library.product, half=AS_GIVEN),
    grads={"input": lambda g, vec: g.unsqueeze(1) * vec.conj(), "vec": lambda g, input: input.t().conj().mv(g)},
)  # fmt: skip


def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix and a vector.

    >>> torch.mv(torch.tensor([[1., 2.]]), torch.tensor([3., 4.]))
    tensor([11.])
    """
    found = apply(_mv, (as_tensor_argument(input, "mv"), as_tensor_argument(vec, "mv", "vec", 2)))
    return found if out is None else write_out(out, found, exact=EXACT)


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of vectors, matrices or broadcast batches of matrices, by their numbers of dims.

    >>> torch.matmul(torch.ones(2, 1, 3), torch.ones(3, 4)).shape
    torch.Size([2, 1, 4])
    """
    if not isinstance(input, TensorBase) or not isinstance(other, TensorBase):
        if wants_to_be_asked(input) or wants_to_be_asked(other):
            return call_again(matmul, input, other, out=out)
        as_tensor_argument(input, "matmul")
        as_tensor_argument(other, "matmul", "other", 2)
    found = product_of_tensors(input, other)
    return found if out is None else write_out(out, found, exact=EXACT)


def product_of_tensors(input: Any, other: Any) -> Any:
    """`matmul` of what is known to be tensors."""
    a, b = input._layout, other._layout
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    if b.ndim == 1:
        if grad_state.autocast is not None:
            input, other = cast(LOWER, (input, other))  # a product with a vector is in the list, but `mv` and `dot` are not
        if a.ndim == 1:
            return apply(_dot, (input, other))
        if a.ndim == 2:
            return apply(_mv, (input, other))
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(f"size mismatch, got input ({a.numel // max(a.shape[-1], 1)}), mat ({a.numel // max(a.shape[-1], 1)}x{a.shape[-1]}), vec ({b.shape[0]})")
        return unsafe_view(mv(input.reshape(-1, a.shape[-1]) if a.numel else input.reshape(_rows(a.shape), a.shape[-1]), other), a.shape[:-1])
    if a.ndim == 1:
        return product_of_tensors(input.unsqueeze(0), other).squeeze(-2)
    if a.ndim == 2 and b.ndim == 2:
        return apply(_mm, (input, other))
    if b.ndim == 2:
        # The batch dims of the left are rows of one product.
        return unsafe_view(mm(input.reshape(_rows(a.shape), a.shape[-1]), other), (*a.shape[:-1], b.shape[-1]))
    if a.shape[-1] != b.shape[-2]:
        rows, columns = a.shape[-2], b.shape[-1]
        if a.ndim == 3 and b.ndim == 3 and a.shape[0] == b.shape[0]:
            _infer_bmm(a, b)
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a.shape[-1]} and {b.shape[-2]}x{columns})")
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = _rows((*batch, 1))
    left = input.expand(*batch, *a.shape[-2:]).reshape(count, *a.shape[-2:])
    right = other.expand(*batch, *b.shape[-2:]).reshape(count, *b.shape[-2:])
    return unsafe_view(bmm(left, right), (*batch, a.shape[-2], b.shape[-1]))


def _rows(shape: tuple[int, ...]) -> int:
    """The number of rows when all dims but the last are merged."""
    count = 1
    for n in shape[:-1]:
        count *= n
    return count


def _adds_bias_apart(input: Layout, bias: Layout) -> bool:
    """Whether PyTorch adds the bias in an op of its own."""
    return input.ndim != 2 and not (input.contiguous and bias.ndim == 1)


def _linear_node(plan: Plan) -> str:
    input, weight, *bias = plan.operands
    if bias:
        return "AddmmBackward0" if input.ndim == 2 else "AddBackward0" if _adds_bias_apart(input, bias[0]) else "ViewBackward0"
    names = ("DotBackward0", "MvBackward0") if weight.ndim == 1 else ("SqueezeBackward4", "MmBackward0")
    return names[input.ndim - 1] if input.ndim <= 2 else "UnsafeViewBackward0"


def _infer_linear(input: Layout, weight: Layout, bias: Any = None) -> Layout:
    if not input.ndim or not weight.ndim:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D")
    if weight.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.ndim}D")
    rows = _rows(input.shape)
    if weight.ndim == 2 and input.shape[-1] != weight.shape[1]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {weight.shape[1]}x{weight.shape[0]})")
    if weight.ndim == 1 and input.shape[-1] != weight.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({rows}), mat ({rows}x{input.shape[-1]}), vec ({weight.shape[0]})")
    if bias is None:
        same_dtype(input, weight)
    else:
        if weight.ndim != 2:
            raise RuntimeError(f"mat2 must be a matrix, got {weight.ndim}-D tensor")
        if _adds_bias_apart(input, bias):
            same_dtype(input, weight)
        _check_addmm_dtypes(bias, input, weight)
    shape = (*input.shape[:-1], *weight.shape[:-1])
    if bias is not None and not can_broadcast_to(bias.shape, shape):
        raise RuntimeError(f"The expanded size of the tensor ({shape[-1]}) must match the existing size ({bias.shape[-1]}) at non-singleton dimension {len(shape) - 1}.  Target sizes: {sizes(shape)}.  Tensor sizes: {sizes(bias.shape)}")
    return _refuse_bools("addmm_impl_cpu_", input.dtype, contiguous(shape, input.dtype), input.shape[-1])


def _linear_rule(input: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    rows = input.reshape(-1, input.shape[-1]) if input.size else input.reshape(_rows(input.shape), input.shape[-1])
    found = product(rows, weight.T).reshape((*input.shape[:-1], *weight.shape[:-1]))
    return found if bias is None else np.add(found, bias, out=found if found.flags.writeable and found.ndim else None)


def _infer_linear_backward(grad_output: Layout, input: Layout, weight: Layout, output_mask: Sequence[bool]) -> list[Layout]:
    return masked(output_mask, _transposed_like(input), _transposed_like(weight), *[contiguous(weight.shape[:-1], weight.dtype)] * (len(output_mask) - 2))


def _transposed_like(operand: Layout) -> Layout:
    """The layout of an operand's gradient: that of a transposed matrix if the operand is one."""
    if operand.ndim == 2 and operand.stride == (1, operand.shape[0]):
        return layout(operand.shape, operand.stride, operand.dtype)
    return contiguous(operand.shape, operand.dtype)


def _linear_backward_rule(grad_output: np.ndarray, input: np.ndarray, weight: np.ndarray, output_mask: Sequence[bool]) -> Any:
    rows, matrix = _rows(input.shape), weight if weight.ndim == 2 else weight[None]
    flat = grad_output.reshape(rows, matrix.shape[0])
    found = []
    if output_mask[0]:
        found.append(product(flat, _conjugate(matrix)).reshape(input.shape))
    if output_mask[1]:
        found.append(product(flat.T, _conjugate(input.reshape(rows, input.shape[-1]))).reshape(weight.shape))
    if len(output_mask) == 3 and output_mask[2]:
        found.append(np.sum(widened(flat), 0).reshape(weight.shape[:-1]))
    return results(found)


def _conjugate(array: np.ndarray) -> np.ndarray:
    return array.conj() if array.dtype.kind == "c" else array


def _linear_formula(grad_output: Tensor, input: Tensor, weight: Tensor, output_mask: Sequence[bool]) -> list[Tensor]:
    rows, matrix = _rows(tuple(input.shape)), weight if weight.dim() == 2 else weight.unsqueeze(0)
    flat = grad_output.reshape(rows, matrix.shape[0])
    return masked(
        output_mask,
        flat.mm(matrix.conj()).reshape(input.shape),
        flat.t().mm(input.reshape(rows, input.shape[-1]).conj()).reshape(weight.shape),
        *[flat.sum(0).reshape(weight.shape[:-1])] * (len(output_mask) - 2),
    )


_linear_backward = Card(
    "linear_backward", "grad_output input weight",
    statics="output_mask", outputs="grad_input grad_weight grad_bias",
    infer=_infer_linear_backward, numpy=_linear_backward_rule, lowering=Calls(library.linear_backward, half=AS_GIVEN),
    backward=lambda g, grad_output, input, weight, needs, output_mask: through(_linear_formula, g, needs, (grad_output, input, weight), output_mask),
)  # fmt: skip


def _linear_gradient(g: Tensor, input: Tensor, weight: Tensor, layouts: Sequence[Layout], needs: tuple[bool, ...]) -> list[Tensor | None]:
    if len(needs) == 3 and needs[2] and layouts[2].shape != layouts[1].shape[:-1]:  # a bias that broadcasts
        products = apply_masked(_linear_backward, (g, input, weight), (), needs[:2]) if any(needs[:2]) else [None, None]
        return [*products, g]
    return apply_masked(_linear_backward, (g, input, weight), (), needs)


_linear = Card(
    "linear", "input weight bias",
    infer=_infer_linear, numpy=_linear_rule, backward=_linear_gradient, node_name=_linear_node,
    lowering=Calls(library.linear, half=AS_GIVEN), autocast=LOWER,
    onnx="Gemm", sends=(2, 0, 1),  # in PyTorch the weight has a node of its own on the way, its transpose
)  # fmt: skip


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias`` over the last dim: (..., in), (out, in), (out) to (..., out).

    >>> F.linear(torch.ones(1, 2), torch.tensor([[1., 2.]]), torch.tensor([10.]))
    tensor([[13.]])
    """
    if not isinstance(input, TensorBase):
        if wants_to_be_asked(input):
            return call_again(linear, input, weight, bias)
        as_tensor_argument(input, "linear")
    return apply(_linear, (input, weight) if bias is None else (input, weight, bias))


def _infer_addmm(input: Layout, mat1: Layout, mat2: Layout, beta: Any, alpha: Any) -> Layout:
    if mat1.ndim != 2:
        raise RuntimeError(f"mat1 must be a matrix, got {mat1.ndim}-D tensor")
    if mat2.ndim != 2:
        raise RuntimeError(f"mat2 must be a matrix, got {mat2.ndim}-D tensor")
    if mat1.shape[1] == mat2.shape[0]:
        _check_addmm_dtypes(input, mat1, mat2)
    out = _infer_mm(mat1, mat2)
    if not can_broadcast_to(input.shape, out.shape):
        raise RuntimeError(f"The expanded size of the tensor ({out.shape[-1]}) must match the existing size ({input.shape[-1]}) at non-singleton dimension 1.  Target sizes: {sizes(out.shape)}.  Tensor sizes: {sizes(input.shape)}")
    return out


def _addmm_rule(input: np.ndarray, mat1: np.ndarray, mat2: np.ndarray, beta: Any, alpha: Any) -> np.ndarray:
    found = product(mat1, mat2)
    if alpha != 1:
        found = found * found.dtype.type(alpha)
    # With beta 0 PyTorch ignores nan and inf in `input`.
    return found if beta == 0 else found + (input if beta == 1 else input * found.dtype.type(beta))


def _scaled(tensor: Tensor, factor: Any) -> Tensor:
    return tensor if factor == 1 else tensor * factor


_addmm = Card(
    "addmm", "input mat1 mat2",
    statics="beta alpha",
    infer=_infer_addmm, numpy=_addmm_rule, lowering=Calls(library.addmm, half=AS_GIVEN), autocast=LOWER,
    grads={
        "input": lambda g, beta: _scaled(g, beta.conjugate()),
        "mat1": lambda g, mat2, alpha: _scaled(g.mm(mat2.t().conj()), alpha.conjugate()),
        "mat2": lambda g, mat1, alpha: _scaled(mat1.t().conj().mm(g), alpha.conjugate()),
    },
    onnx="Gemm",
)  # fmt: skip


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``beta * input + alpha * (mat1 @ mat2)``.

    >>> torch.addmm(torch.ones(1), torch.ones(1, 2), torch.ones(2, 1))
    tensor([[3.]])
    """
    as_tensor_argument(mat1, "addmm", "mat1", 2)
    as_tensor_argument(mat2, "addmm", "mat2", 3)
    dtype = mat1._layout.dtype
    found = apply(_addmm, (input, mat1, mat2), (_factor(beta, dtype), _factor(alpha, dtype)))
    return found if out is None else write_out(out, found, exact=EXACT)


# Scaled sums with a product


def _factor(value: Any, dtype: dt.dtype) -> Any:
    """PyTorch reads a factor of integer matrices as an integer, and of real ones as a real number."""
    if isinstance(value, (TensorBase, np.generic)):
        value = value.item()  # type: ignore[union-attr]
    if not isinstance(value, int | float | complex):
        raise TypeError(f"argument 'alpha' must be Number, not {type(value).__name__}")
    if isinstance(value, complex) and not dtype.is_complex:
        raise overflow(C_NAMES.get(dtype, dtype.name))
    return int(value) if dtype.category < dt.FLOAT and isinstance(value, float) else value


def _plus(input: Tensor, product: Tensor, beta: Any, alpha: Any, out: Tensor | None, title: str) -> Tensor:
    """``beta * input + alpha * product``, where `input` broadcasts; with `beta` zero its nan and inf do not count."""
    have, shape = input._layout, product._layout.shape
    if not can_broadcast_to(have.shape, shape):
        input.expand(shape)  # raises
    if have.dtype is not product._layout.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {have.dtype.type_name} and {product._layout.dtype.type_name}")
    beta, alpha = _factor(beta, have.dtype), _factor(alpha, have.dtype)
    found = _scaled(product, alpha)
    if beta != 0:
        found = titled(_scaled(input, beta) + found, title)
    return found if out is None else write_out(out, found, exact=EXACT)


def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``beta * input + alpha * (mat @ vec)``.

    >>> torch.addmv(torch.ones(1), torch.tensor([[1., 2.]]), torch.tensor([3., 4.]))
    tensor([12.])
    """
    as_tensor_argument(input, "addmv")
    as_tensor_argument(mat, "addmv", "mat", 2)
    as_tensor_argument(vec, "addmv", "vec", 3)
    have, matrix, vector = input._layout, mat._layout, vec._layout
    if matrix.ndim != 2 or vector.ndim != 1 or have.ndim > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {have.ndim}, {matrix.ndim}, {vector.ndim}")
    if matrix.shape[1] != vector.shape[0] or have.numel not in (1, matrix.shape[0]):
        raise RuntimeError(f"size mismatch, got input ({have.numel}), mat ({matrix.shape[0]}x{matrix.shape[1]}), vec ({vector.shape[0]})")
    _check_addmv_dtypes(have, matrix, vector)
    return _plus(input, mv(mat, vec), beta, alpha, out, "AddmvBackward0")


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``beta * input + alpha * outer(vec1, vec2)``.

    >>> torch.addr(torch.zeros(1), torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    as_tensor_argument(input, "addr")
    as_tensor_argument(vec1, "addr", "vec1", 2)
    as_tensor_argument(vec2, "addr", "vec2", 3)
    for name, vector in (("vec1", vec1), ("vec2", vec2)):
        if vector._layout.ndim != 1:
            raise RuntimeError(f"addr: Expected 1-D argument {name}, but got {vector._layout.ndim}-D")
    shape = (vec1._layout.shape[0], vec2._layout.shape[0])
    if not can_broadcast_to(input._layout.shape, shape):
        input.expand(shape)  # raises
    product = vec1.unsqueeze(1) * vec2
    common = dt.promote_cached(input._layout.dtype, product._layout.dtype)
    if not common.is_complex and (isinstance(beta, complex) or isinstance(alpha, complex)):
        raise overflow(C_NAMES.get(common, common.name))
    if common.category < dt.FLOAT:
        for name, factor in (("beta", beta), ("alpha", alpha)):
            if isinstance(factor, float):
                raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    if common is dt.bool_:
        found = product & bool(alpha)
        found = found if not beta else found | input
    else:
        found = _scaled(product, alpha)
        found = found.to(common).expand(shape) if beta == 0 else _scaled(input, beta) + found
    return found if out is None else write_out(out, found)


@autocasts(LOWER)
def addbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``beta * input + alpha *`` the sum of the batch's products, of shapes (b, n, m) and (b, m, p).

    >>> torch.addbmm(torch.zeros(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1))
    tensor([[6.]])
    """
    as_tensor_argument(input, "addbmm")
    return _plus(input, bmm(batch1, batch2).sum(0).to(batch1._layout.dtype), beta, alpha, out, "AddbmmBackward0")


@autocasts(LOWER)
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """``beta * input + alpha * (batch1 @ batch2)`` for batches of shapes (b, n, m) and (b, m, p).

    >>> torch.baddbmm(torch.zeros(1), torch.ones(2, 1, 3), torch.ones(2, 3, 1)).shape
    torch.Size([2, 1, 1])
    """
    as_tensor_argument(input, "baddbmm")
    as_tensor_argument(batch1, "baddbmm", "batch1", 2)
    as_tensor_argument(batch2, "baddbmm", "batch2", 3)
    dtypes = [t._layout.dtype for t in (input, batch1, batch2)]
    if dtypes[0] is not dtypes[1]:
        names = [c_name(dtype) for dtype in dtypes]
        raise RuntimeError(f"Input dtypes must be the same, got: input {names[0]}, batch1: {names[1]}, batch2: {names[2]}")
    _refuse_bools("baddbmm", dtypes[1], input._layout)
    return _plus(input, bmm(batch1, batch2), beta, alpha, out, "BaddbmmBackward0")


def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of each element of `input` with each of `vec2`.

    >>> torch.outer(torch.tensor([1, 2]), torch.tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    for name, vector in (("self", as_tensor_argument(input, "outer")), ("vec2", as_tensor_argument(vec2, "outer", "vec2", 2))):
        if vector._layout.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {vector._layout.ndim}-D")
    found = input.unsqueeze(1) * vec2
    return found if out is None else write_out(out, found)


def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The sums of products over the last dim of both; the plain product if either is a scalar.

    >>> torch.inner(torch.tensor([1., 2.]), torch.tensor([3., 4.]))
    tensor(11.)
    """
    a, b = as_tensor_argument(input, "inner")._layout, as_tensor_argument(other, "inner", "other", 2)._layout
    if not a.ndim or not b.ndim:
        found = input * other
    elif a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"inner() the last dimension must match on both input tensors but got shapes {sizes(a.shape)} and {sizes(b.shape)}")
    else:
        if a.dtype is not b.dtype:
            raise RuntimeError("both inputs should have same dtype")
        if a.ndim == b.ndim == 1:
            found = dot(input, other)
        else:
            rows, columns = input.reshape(_rows(a.shape), a.shape[-1]), other.reshape(_rows(b.shape), b.shape[-1])
            found = mm(rows, columns.t()).reshape((*a.shape[:-1], *b.shape[:-1]))
    return found if out is None else write_out(out, found, exact="tensordot: Expected the output tensor to have dtype {want}, but got an output tensor with dtype {have}" if a.ndim and b.ndim else None)
