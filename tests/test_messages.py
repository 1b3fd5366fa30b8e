"""What PyTorch answers to arguments that do not fit: programs print these messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

SINGLE, DOUBLE, WHOLE, BOOLS = torch.ones(2, 2), torch.ones(2, 2).double(), torch.ones(2, 2).long(), torch.ones(2, 2).bool()

_OTHER_OUT = "Expected out tensor to have dtype float, but got double instead"
CASES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "mm": (lambda: WHOLE @ SINGLE, RuntimeError, "expected m1 and m2 to have the same dtype, but got: long int != float"),
    "bmm": (lambda: SINGLE[None] @ DOUBLE[None], RuntimeError, "expected scalar type Float but found Double"),
    "mv": (lambda: SINGLE @ DOUBLE[0], RuntimeError, "addmv input tensors must have the same dtype, but got Double, Float, and Double"),
    "addmm": (lambda: torch.addmm(SINGLE, DOUBLE, SINGLE), RuntimeError, "mat1 and mat2 must have the same dtype, but got Double and Float"),
    "baddbmm": (
        lambda: torch.baddbmm(SINGLE[None], DOUBLE[None], DOUBLE[None]),
        RuntimeError,
        "Input dtypes must be the same, got: input float, batch1: double, batch2: double",
    ),
    "Linear": (lambda: nn.Linear(2, 2)(DOUBLE), RuntimeError, "mat1 and mat2 must have the same dtype, but got Double and Float"),
    "Linear without bias": (
        lambda: nn.Linear(2, 2, bias=False)(DOUBLE),
        RuntimeError,
        "expected m1 and m2 to have the same dtype, but got: double != float",
    ),
    "Linear of an array": (lambda: nn.Linear(2, 2)(np.ones((1, 2))), TypeError, "linear(): argument 'input' (position 1) must be Tensor, not numpy.ndarray"),
    "Conv2d": (
        lambda: nn.Conv2d(1, 1, 1)(DOUBLE[None]),
        RuntimeError,
        "Input type (double) and bias type (float) should be the same",
    ),
    "Conv2d without bias": (lambda: nn.Conv2d(1, 1, 1, bias=False)(DOUBLE[None]), RuntimeError, "expected scalar type Double but found Float"),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(2).double()(SINGLE), RuntimeError, "mixed dtype (CPU): expect parameter to have scalar type of Float"),
    "LayerNorm": (lambda: nn.LayerNorm(2)(DOUBLE), RuntimeError, "mixed dtype (CPU): all inputs must share same datatype."),
    "cross_entropy": (
        lambda: F.cross_entropy(SINGLE, torch.ones(2)),
        RuntimeError,
        "expected target dtype to be Long or Byte, but got Float",
    ),
    "cross_entropy, column": (
        lambda: F.cross_entropy(SINGLE, torch.ones(2, 1)),
        RuntimeError,
        "0D or 1D target tensor expected, multi-target not supported",
    ),
    "binary_cross_entropy": (lambda: F.binary_cross_entropy(SINGLE, WHOLE), RuntimeError, "Found dtype Long but expected Float"),
    "cat of nothing": (lambda: torch.cat([]), ValueError, "torch.cat(): expected a non-empty list of Tensors"),
    "cat of a tensor": (lambda: torch.cat(SINGLE), TypeError, "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"),
    "stack of a deque": (
        lambda: torch.stack(deque([SINGLE])),
        TypeError,
        "stack(): argument 'tensors' (position 1) must be tuple of Tensors, not collections.deque",
    ),
    "stack of a number": (lambda: torch.stack([SINGLE, 1]), TypeError, "expected Tensor as element 1 in argument 0, but got int"),
    "int": (lambda: int(SINGLE), ValueError, "only one element tensors can be converted to Python scalars"),
    "item": (lambda: SINGLE.item(), RuntimeError, "a Tensor with 4 elements cannot be converted to Scalar"),
    "tensor of tensors": (lambda: torch.tensor([torch.ones(2)]), ValueError, "only one element tensors can be converted to Python scalars"),
    "zeros, requires_grad": (
        lambda: torch.zeros(2, dtype=torch.int, requires_grad=True),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    "requires_grad =": (
        lambda: setattr(WHOLE, "requires_grad", True),
        RuntimeError,
        "only Tensors of floating point and complex dtype can require gradients",
    ),
    "full": (lambda: torch.full((2,), "a"), TypeError, "full(): argument 'fill_value' (position 2) must be Number, not str"),
    "zeros of a name": (
        lambda: torch.zeros(2, "a"),
        TypeError,
        "zeros(): argument 'size' failed to unpack the object at pos 2 with error \"type must be tuple of ints,but got str\"",
    ),
    "FloatTensor of a number": (lambda: torch.FloatTensor(5.5), TypeError, "new(): data must be a sequence (got float)"),
    "FloatTensor of a dict": (lambda: torch.FloatTensor({1: 2}), TypeError, "new(): data must be a sequence (got dict)"),
    "FloatTensor of a string": (lambda: torch.FloatTensor("ab"), TypeError, "new(): invalid data type 'str'"),
    **{
        f"{kernel}, {n}": (call, NotImplementedError, f'"{kernel}" not implemented for \'{kind}\'')
        for n, (kernel, kind, call) in enumerate((
            ("addmm_impl_cpu_", "Bool", lambda: BOOLS @ BOOLS),
            ("addmm_impl_cpu_", "Bool", lambda: F.linear(BOOLS, BOOLS)),
            ("addmv_impl_cpu", "Bool", lambda: BOOLS @ BOOLS[0]),
            ("dot", "Bool", lambda: BOOLS[0] @ BOOLS[0]),
            ("bmm", "Bool", lambda: torch.bmm(BOOLS[None], BOOLS[None])),
            ("baddbmm", "Bool", lambda: torch.baddbmm(BOOLS[None], BOOLS[None], BOOLS[None])),
            ("clamp_cpu", "Bool", lambda: BOOLS.clamp(BOOLS, BOOLS)),
            ("clamp_min_scalar_cpu", "Bool", lambda: BOOLS.clamp(min=True)),
            ("addcmul_cpu_out", "Bool", lambda: torch.addcmul(BOOLS, BOOLS, BOOLS)),
            ("lerp_kernel_scalar", "Long", lambda: torch.lerp(WHOLE, WHOLE, 0.5)),
            ("lerp_kernel_tensor", "Long", lambda: torch.lerp(WHOLE, WHOLE, WHOLE)),
            ("mse_cpu", "Long", lambda: F.mse_loss(WHOLE, WHOLE, reduction="none")),
            ("smooth_l1_cpu", "Long", lambda: F.smooth_l1_loss(WHOLE, WHOLE)),
            ("huber_cpu", "Long", lambda: F.huber_loss(WHOLE, WHOLE)),
            ("binary_cross_entropy", "Long", lambda: F.binary_cross_entropy(WHOLE, WHOLE)),
            ("nll_loss_out_frame", "Long", lambda: F.nll_loss(WHOLE, WHOLE[0])),
            ("multi_margin_loss_cpu_kernel", "Half", lambda: F.multi_margin_loss(SINGLE.half(), WHOLE[0])),
            ("max_unpool2d", "Long", lambda: F.max_unpool2d(WHOLE[None], WHOLE[None], 2)),
            ("prelu_cpu", "Long", lambda: F.prelu(WHOLE, WHOLE[0])),
            ("glu_cpu", "ComplexFloat", lambda: F.glu(SINGLE * 1j)),
            ("ctc_loss_cpu", "Long", lambda: F.ctc_loss(WHOLE[:, None], WHOLE[:1], (2,), (1,))),
            ("linspace_cpu", "Bool", lambda: torch.linspace(0, 1, 2, dtype=torch.bool)),
            ("tril_indices", "Byte", lambda: torch.tril_indices(2, 2, dtype=torch.uint8)),
            ("slow_conv_transpose2d_out_cpu", "Int", lambda: F.conv_transpose2d(WHOLE[None].int(), WHOLE[None, None].int())),
            ("compute_indices_weights_linear", "Long", lambda: F.interpolate(WHOLE[None], scale_factor=2, mode="linear")),
            ("index_func_", "Bool", lambda: BOOLS.index_reduce(0, WHOLE[0], BOOLS, "mean")),
        ))
    },
    **{
        f"out= of another dtype, {n}": (call, TypeError if "cat" in message else RuntimeError, message)
        for n, (call, message) in enumerate((
            (lambda: torch.mm(SINGLE, SINGLE, out=DOUBLE.clone()), _OTHER_OUT),
            (lambda: torch.max(SINGLE, 0, out=(torch.ones(2), torch.ones(2).int())), "Expected out tensor to have dtype long int, but got int instead"),
            (lambda: torch.sort(SINGLE, out=(DOUBLE.clone(), WHOLE.clone())), _OTHER_OUT),
            (lambda: torch.linalg.inv(torch.eye(2), out=DOUBLE.clone()), _OTHER_OUT),
            (lambda: torch.gather(SINGLE, 0, torch.zeros(2, 2).long(), out=DOUBLE.clone()), _OTHER_OUT),
            (lambda: torch.amax(SINGLE, 0, out=torch.ones(2).int()), "Expected the dtype for input and out to match, but got Float for input's dtype and Int for out's dtype."),
            (lambda: torch.cat([SINGLE], out=WHOLE.int()), "torch.cat(): input types can't be cast to the desired output type Int"),
            (lambda: torch.index_select(SINGLE, 0, WHOLE[0], out=DOUBLE.clone()), "index_select(): self and result must have the same scalar type"),
            (lambda: torch.all(SINGLE, 0, out=torch.ones(2)), "all only supports bool tensor for result, got: Float"),
            (lambda: torch.where(BOOLS, SINGLE, SINGLE, out=DOUBLE.clone()), "Expected out type to be Float but got Double"),
            (lambda: torch.clamp(SINGLE, 0, 1, out=DOUBLE.clone()), "Found dtype Double but expected Float"),
            (lambda: torch.zeros(2, out=torch.ones(2).int(), dtype=torch.float32), "dtype Float does not match dtype of out parameter (Int)"),
        ))
    },
    "out= of one tensor": (lambda: torch.max(SINGLE, 0, out=(torch.ones(2),)), TypeError, "expected tuple of 2 elements but got 1"),  # type: ignore[arg-type]
    "reshape with a zero": (lambda: torch.ones(1).reshape(0, -1), RuntimeError, "shape '[0, -1]' is invalid for input of size 1"),
    "movedim": (lambda: SINGLE.movedim((0, 1), (1, -1)), RuntimeError, "movedim: repeated dim in `destination` ([1, -1])"),
    "t_": (lambda: torch.ones(1, 1, 1).t_(), RuntimeError, "t_() expects a tensor with <= 2 dimensions, but self is 3D"),
    "unravel_index": (lambda: torch.unravel_index(SINGLE, (2,)), TypeError, "expected 'indices' to be integer dtype, but got torch.float32"),
    "cross": (lambda: torch.cross(torch.ones(3), torch.ones(3).double()), RuntimeError, "expected scalar type Float but found Double"),
    "addmm, complex factor": (lambda: torch.addmm(SINGLE, SINGLE, SINGLE, alpha=1j), RuntimeError, "value cannot be converted to type float without overflow"),
    "addcmul of a list": (lambda: torch.addcmul(SINGLE, SINGLE, [1.0]), TypeError, "addcmul(): argument 'tensor2' (position 3) must be Tensor, not list"),
    "addcmul, complex factor": (
        lambda: torch.addcmul(SINGLE, SINGLE, SINGLE, value=1j),
        RuntimeError,
        "value cannot be converted to type float without overflow",
    ),
    "linear of a list": (lambda: F.linear(SINGLE, [1.0]), TypeError, "linear(): argument 'weight' (position 2) must be Tensor, not list"),  # type: ignore[arg-type]
    "bitwise_and_ of a float": (
        lambda: WHOLE.clone().bitwise_and_(2.5),
        RuntimeError,
        "result type Float can't be cast to the desired output type Long",
    ),
    "float_power_": (
        lambda: SINGLE.clone().float_power_(2),
        RuntimeError,
        "the base given to float_power_ has dtype Float but the operation's result requires dtype Double",
    ),
    "cumsum to bool": (lambda: SINGLE.cumsum(0, dtype=torch.bool), NotImplementedError, "\"cumsum_out_cpu\" not implemented for 'Bool'"),
    **{
        f"rows of another kind, {n}": (call, kind, message)
        for n, (call, kind, message) in enumerate((
            (lambda: SINGLE.index_add(0, torch.tensor([-1]), SINGLE[:1]), RuntimeError, "index -1 is out of bounds for dimension 0 with size 2"),
            (lambda: SINGLE[0].index_add(0, torch.tensor([5]), SINGLE[0, :1]), IndexError, "index out of range in self"),
            (lambda: SINGLE.index_copy(0, torch.tensor([5]), SINGLE[:1]), IndexError, "index_copy_(): index 5 is out of bounds for dimension 0 with size 2"),
            (lambda: SINGLE.index_reduce(0, torch.tensor([-1]), SINGLE[:1], "prod"), IndexError, "index out of range in self"),
            (lambda: SINGLE.index_add(0, torch.tensor([0]), SINGLE), RuntimeError, "index_add_(): Number of indices (1) should be equal to source.size(dim): (2), for dim: 0"),
            (lambda: SINGLE.index_add(1, torch.tensor([0]), torch.tensor(1.0)), RuntimeError, "index_add_(): Indexing dim 1 is out of bounds of the source tensor with dim 0"),
            (lambda: SINGLE.index_copy(0, torch.tensor([0]), DOUBLE[:1]), RuntimeError, "index_copy_(): self and source expected to have the same dtype, but got (self) Float and (source) Double"),
            (lambda: SINGLE.index_add(0, torch.tensor([0]), None), TypeError, "index_add(): argument 'source' (position 4) must be Tensor, not NoneType"),
        ))
    },
    "binary_cross_entropy's target": (
        lambda: F.binary_cross_entropy(SINGLE, SINGLE * 2),
        RuntimeError,
        "all elements of target should be between 0 and 1",
    ),
    "cross_entropy, probabilities": (
        lambda: F.cross_entropy(SINGLE, SINGLE, ignore_index=1),
        RuntimeError,
        "ignore_index is not supported for floating point target",
    ),
    "fftn of a number": (lambda: torch.fft.fftn(torch.tensor(1.0), dim=(0,)), IndexError, "Dimension specified as 0 but tensor has no dimensions"),
    "adaptive_avg_pool2d": (lambda: F.adaptive_avg_pool2d(torch.ones(1, 2, 2), ()), RuntimeError, "adaptive_avg_pool2d: output_size must be 2"),
    "narrow_copy": (lambda: SINGLE.narrow_copy(0, 0, -1), RuntimeError, "start (0) + length (-1) exceeds dimension size (2)."),
    "running statistics of two dims": (
        lambda: F.batch_norm(SINGLE, torch.zeros(1, 2), torch.ones(2)),
        RuntimeError,
        "TensorAccessor expected 1 dims but tensor has 2",
    ),
    "linear, three dims": (lambda: F.linear(SINGLE, SINGLE[None]), RuntimeError, "t() expects a tensor with <= 2 dimensions, but self is 3D"),
    "linear, one dim": (lambda: F.linear(SINGLE, SINGLE[0], torch.tensor(1.0)), RuntimeError, "mat2 must be a matrix, got 1-D tensor"),
    "one running statistic": (
        lambda: F.batch_norm(SINGLE, None, torch.ones(2), training=True),
        ValueError,
        "running_mean and running_var must either both be None or neither be None",
    ),
    "nll_loss of a number": (lambda: F.nll_loss(torch.tensor(1.0), torch.tensor(0)), ValueError, "Expected 1 or more dimensions (got 0)"),
    "scatter_add of another dtype": (
        lambda: DOUBLE.scatter_add(0, torch.zeros(2, 2).long(), SINGLE),
        RuntimeError,
        "scatter(): Expected self.dtype to be equal to src.dtype",
    ),
    "narrow_copy of a number": (lambda: torch.tensor(1.0).narrow_copy(0, 0, 1), RuntimeError, "narrow() cannot be applied to a 0-dim tensor."),
    "kl_div": (lambda: F.kl_div(WHOLE, WHOLE, reduction="sum"), RuntimeError, "kl_div: Integral inputs not supported."),
    "clamp_": (lambda: WHOLE.clone().clamp_(0.5), RuntimeError, "result type Float can't be cast to the desired output type long int"),
    "cosine_similarity": (
        lambda: F.cosine_similarity(SINGLE * 1j, SINGLE),
        RuntimeError,
        "expected common dtype to be floating point, yet common dtype is ComplexFloat",
    ),
    "abs_": (lambda: torch.abs_(5), TypeError, "abs_(): argument 'input' (position 1) must be Tensor, not int"),  # type: ignore[arg-type]
    "broadcast_shapes": (
        lambda: torch.broadcast_shapes((2, 3), (3, 2)),
        RuntimeError,
        "Attempting to broadcast a dimension of length 2 at -1! Mismatching argument at index 1 had (3, 2); but expected shape should be broadcastable to [2, 3]",
    ),
    "empty_permuted": (lambda: torch.empty_permuted((2, 3), (1, 1)), RuntimeError, "Duplicate dim not allowed"),
    "vander": (lambda: torch.vander(torch.ones(1, 1)), RuntimeError, "x must be a one-dimensional tensor."),
    "deterministic_debug_mode": (
        lambda: torch.set_deterministic_debug_mode(4),
        RuntimeError,
        "invalid value of debug_mode, expected 0, 1, or 2, but got 4",
    ),
    "view of nothing": (
        lambda: SINGLE.view(),
        TypeError,
        "view() received an invalid combination of arguments - got (), but expected one of:\n * (torch.dtype dtype)\n * (tuple of ints size)",
    ),
    "view, second size": (
        lambda: SINGLE.view(2, "a"),
        TypeError,
        "view(): argument 'size' failed to unpack the object at pos 2 with error \"type must be tuple of ints,but got str\"",
    ),
    "reshape of nothing": (lambda: SINGLE.reshape(), TypeError, 'reshape() missing 1 required positional arguments: "shape"'),
    "permute of nothing": (lambda: torch.tensor(1.0).permute(), TypeError, 'permute() missing 1 required positional arguments: "dims"'),
    "expand, string": (lambda: SINGLE.expand("a"), TypeError, "expand(): argument 'size' (position 1) must be tuple of ints, not str"),
    "repeat, list": (lambda: SINGLE.repeat([1.5, 1]), TypeError, "repeat(): argument 'repeats' (position 1) must be tuple of ints, but found element of type float at pos 0"),
    "reshape, first size": (lambda: SINGLE.reshape(2.0, 2), TypeError, "reshape() takes 1 positional argument but 2 were given"),
    "expand, leading": (
        lambda: SINGLE.expand(-1, 2, 2),
        RuntimeError,
        "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension 0",
    ),
    "resize_ to less than nothing": (lambda: torch.ones(2).resize_(-1), RuntimeError, "numel: integer multiplication overflow"),
    "linspace, steps": (lambda: torch.linspace(0, 1, 2.5), TypeError, "linspace(): argument 'steps' must be int, not float"),
    "arange, complex": (lambda: torch.arange(3j), RuntimeError, "value cannot be converted to type double without overflow"),
    "eye, float": (lambda: torch.eye(2.5), TypeError, "eye(): argument 'n' (position 1) must be int, not float"),
    "device, index": (lambda: torch.device("cpu", -2), RuntimeError, "Device index must not be negative"),
    "device, empty": (lambda: torch.device(""), RuntimeError, "Device string must not be empty"),
    "device, dtype's name": (lambda: SINGLE.to("float64"), RuntimeError, "Invalid device string: 'float64'"),
    "finfo of a number": (lambda: torch.finfo(3), TypeError, "finfo(): argument 'type' (position 1) must be torch.dtype, not int"),
    "iinfo of bools": (lambda: torch.iinfo(torch.bool), TypeError, "torch.bool is not supported by torch.iinfo"),
    "to_complex of integers": (lambda: torch.int64.to_complex(), RuntimeError, "Unknown Complex ScalarType for Long"),
    "masked_fill, mask of integers": (
        lambda: SINGLE.masked_fill(WHOLE, 3),
        RuntimeError,
        "masked_fill_ only supports boolean masks, but got mask with dtype long int",
    ),
    "masked_scatter, few": (lambda: SINGLE.masked_scatter(BOOLS, torch.ones(2)), RuntimeError, "Number of elements of source < number of ones in mask"),
    "scatter, index": (lambda: torch.zeros(3).scatter(0, torch.tensor([1.0]), 2.0), RuntimeError, "scatter(): Expected dtype int32/int64 for index"),
    "index_copy, int32": (
        lambda: torch.zeros(3).index_copy(0, torch.tensor([1], dtype=torch.int32), torch.ones(1)),
        RuntimeError,
        "index_copy_(): Expected a long tensor for index, but got Int",
    ),
    "index_fill, int32": (
        lambda: torch.zeros(3).index_fill(0, torch.tensor([1], dtype=torch.int32), 1.0),
        IndexError,
        "index_fill_(): Expected dtype int64 for index.",
    ),
    "sum as integers": (lambda: torch.ones(2, requires_grad=True).sum(dtype=torch.int32), RuntimeError, "Autograd not support dtype: Int"),
    "cumsum as integers": (lambda: torch.ones(2, requires_grad=True).cumsum(0, dtype=torch.int64), RuntimeError, "Autograd not support dtype: Long"),
    "nansum, complex": (lambda: torch.nansum(SINGLE, dtype=torch.complex64), NotImplementedError, "\"nansum_cpu\" not implemented for 'ComplexFloat'"),
    "ctc_loss, short rows": (
        lambda: F.ctc_loss(torch.ones(3, 1, 2), torch.tensor([[1, 1]]), (3,), (3,)),
        RuntimeError,
        "Expected tensor to have size at least 3 at dimension 1, but got size 2 for argument #2 'targets' (while checking arguments for ctc_loss_allocate_outputs)",
    ),
    "ctc_loss, labels": (
        lambda: F.ctc_loss(torch.ones(3, 2, 2), torch.tensor([1, 1, 1]), (3, 3), (2, 2)),
        RuntimeError,
        "Expected tensor to have size 4 at dimension 0, but got size 3 for argument #2 'targets' (while checking arguments for ctc_loss_allocate_outputs)",
    ),
    "tensordot, from the end": (
        lambda: torch.tensordot(torch.ones(2, 3), torch.ones(2, 3), dims=1),
        RuntimeError,
        "contracted dimensions need to match, but first has size 3 in dim -1 and second has size 2 in dim 0",
    ),
    "avg_pool2d, kernel_size": (
        lambda: F.avg_pool2d(torch.ones(1, 4, 4), 2.0),
        TypeError,
        "avg_pool2d(): argument 'kernel_size' (position 2) must be tuple of ints, not float",
    ),
    "max_pool2d, stride": (
        lambda: F.max_pool2d(torch.ones(1, 4, 4), 2, (1.5, 1)),
        TypeError,
        "max_pool2d(): argument 'stride' (position 3) must be tuple of ints, but found element of type float at pos 0",
    ),
    "avg_pool1d, padding": (
        lambda: F.avg_pool1d(torch.ones(1, 4), 2, 1, "x"),
        TypeError,
        "avg_pool1d(): argument 'padding' (position 4) must be tuple of ints, not str",
    ),
    "avg_pool2d, divisor_override": (
        lambda: F.avg_pool2d(torch.ones(1, 4, 4), 2, divisor_override=(1, 2)),
        TypeError,
        "avg_pool2d(): argument 'divisor_override' (position 7) must be int, not tuple",
    ),
    "adaptive_max_pool1d, output_size": (
        lambda: F.adaptive_avg_pool1d(torch.ones(1, 4), True),
        TypeError,
        "adaptive_avg_pool1d(): argument 'output_size' (position 2) must be tuple of ints, not bool",
    ),
    "nll_loss, ignore_index": (
        lambda: F.nll_loss(SINGLE.view(1, -1), torch.tensor([0]), ignore_index="mean"),
        TypeError,
        "nll_loss_nd(): argument 'ignore_index' (position 5) must be int, not str",
    ),
    "cross_entropy, ignore_index": (
        lambda: F.cross_entropy(SINGLE.view(1, -1), torch.tensor([0]), ignore_index=None),
        TypeError,
        "cross_entropy_loss(): argument 'ignore_index' (position 5) must be int, not NoneType",
    ),
    "cross_entropy, label_smoothing": (
        lambda: F.cross_entropy(SINGLE.view(1, -1), torch.tensor([0]), label_smoothing="x"),
        TypeError,
        "cross_entropy_loss(): argument 'label_smoothing' (position 6) must be float, not str",
    ),
    "mse_loss, no target": (lambda: F.mse_loss(SINGLE, None), AttributeError, "'NoneType' object has no attribute 'size'"),
    "l1_loss, no input": (lambda: F.l1_loss(3.0, SINGLE), AttributeError, "'float' object has no attribute 'size'"),
    "binary_cross_entropy, no target": (lambda: F.binary_cross_entropy(SINGLE, None), AttributeError, "'NoneType' object has no attribute 'size'"),
    "kl_div, no target": (lambda: F.kl_div(SINGLE, None, reduction="sum"), TypeError, "kl_div(): argument 'target' (position 2) must be Tensor, not NoneType"),
    "poisson_nll_loss, a number": (
        lambda: F.poisson_nll_loss(SINGLE, 3.0),
        TypeError,
        "poisson_nll_loss(): argument 'target' (position 2) must be Tensor, not float",
    ),
    "nll_loss, no target": (lambda: F.nll_loss(SINGLE, None), TypeError, "nll_loss_nd(): argument 'target' (position 2) must be Tensor, not NoneType"),
    "layer_norm, no input": (lambda: F.layer_norm(None, (3,)), TypeError, "layer_norm(): argument 'input' (position 1) must be Tensor, not NoneType"),
    "batch_norm, no input": (lambda: F.batch_norm(None, None, None), TypeError, "batch_norm(): argument 'input' (position 1) must be Tensor, not NoneType"),
    "multi_margin_loss, target": (lambda: F.multi_margin_loss(torch.ones(2, 3), torch.tensor([0, 9])), RuntimeError, "target out of range"),
    "multi_margin_loss, int32": (
        lambda: F.multi_margin_loss(torch.ones(2, 3), torch.tensor([0, 1], dtype=torch.int32)),
        RuntimeError,
        "expected scalar type Long but found Int",
    ),
    "gaussian_nll_loss, var": (lambda: F.gaussian_nll_loss(torch.ones(4, 3), torch.ones(4, 3), torch.ones(1)), ValueError, "var is of incorrect size"),
    "conv2d, bfloat16 with a bias": (
        lambda: nn.Conv2d(2, 2, 3)(torch.ones(2, 2, 4, 4).bfloat16()),
        RuntimeError,
        "Input type (c10::BFloat16) and bias type (float) should be the same",
    ),
    "conv2d, bfloat16 without": (
        lambda: nn.Conv2d(2, 2, 3, bias=False)(torch.ones(2, 4, 4).bfloat16()),
        RuntimeError,
        "Input type (CPUBFloat16Type) and weight type (torch.FloatTensor) should be the same or input should be a MKLDNN tensor and weight is a dense tensor",
    ),
    "conv1d, half": (
        lambda: nn.Conv1d(2, 2, 3, bias=False)(torch.ones(2, 2, 4).half()),
        RuntimeError,
        "expected scalar type Half but found Float",
    ),
    "conv_transpose2d, complex": (
        lambda: nn.ConvTranspose2d(2, 2, 3)(torch.ones(2, 2, 4, 4, dtype=torch.complex64)),
        RuntimeError,
        "Input type (CPUComplexFloatType) and weight type (torch.FloatTensor) should be the same",
    ),
    "conv1d, channels and dtype": (
        lambda: nn.Conv1d(2, 2, 3, bias=False)(torch.ones(2, 3, 4).double()),
        RuntimeError,
        "Given groups=1, weight of size [2, 2, 3], expected input[2, 3, 4] to have 2 channels, but got 3 channels instead",
    ),
    "avg_pool2d, five dims": (
        lambda: F.avg_pool2d(torch.ones(1, 2, 3, 4, 4), 2),
        RuntimeError,
        "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:[1, 2, 3, 4, 4]",
    ),
    "avg_pool1d, negative kernel_size": (
        lambda: F.avg_pool1d(torch.ones(1, 4), -1),
        RuntimeError,
        "kernel size should be greater than zero, but got kH: 1 kW: -1",
    ),
    "ConvTranspose2d, output_size": (
        lambda: nn.ConvTranspose2d(1, 1, 3, stride=2)(torch.ones(1, 1, 3, 3), output_size=(9, 9)),
        ValueError,
        "requested an output size of (9, 9), but valid sizes range from [7, 7] to [8, 8] (for an input of torch.Size([3, 3]))",
    ),
    "assert_close, one tolerance": (
        lambda: torch.testing.assert_close(1.0, 1.0, rtol=0.1),
        ValueError,
        "Both 'rtol' and 'atol' must be either specified or omitted, but got no atol.",
    ),
    "assert_close, a number and a tensor": (
        lambda: torch.testing.assert_close(1, torch.tensor(1)),
        TypeError,
        f"No comparison pair was able to handle inputs of type <class 'int'> and {torch.Tensor}.",
    ),
    "assert_close, bools": (lambda: torch.testing.assert_close(True, False), AssertionError, "Booleans mismatch: True is not False"),
    "assert_close, types of numbers": (
        lambda: torch.testing.assert_close(1, 1.0),
        AssertionError,
        "The (d)types do not match: <class 'int'> != <class 'float'>.",
    ),
    "assert_close, deep inside": (
        lambda: torch.testing.assert_close({"a": [torch.ones(1, dtype=torch.int64)]}, {"a": [torch.zeros(1, dtype=torch.int64)]}),
        AssertionError,
        "Tensor-likes are not equal!\n\nMismatched elements: 1 / 1 (100.0%)\nGreatest absolute difference: 1 at index (0,)\n"
        "Greatest relative difference: inf at index (0,)\n\nThe failure occurred for item ['a'][0]",
    ),
    "assert_close, numbers of dim 0": (
        lambda: torch.testing.assert_close(torch.tensor(1.0), torch.tensor(2.0), rtol=0.1, atol=0.1),
        AssertionError,
        "Scalars are not close!\n\nExpected 2.0 but got 1.0.\nAbsolute difference: 1.0 (up to 0.1 allowed)\nRelative difference: 0.5 (up to 0.1 allowed)",
    ),
    "flip of a list": (lambda: torch.flip([1], (0,)), TypeError, "flip(): argument 'input' (position 1) must be Tensor, not list"),
    "roll of a list": (lambda: torch.roll([1], 1), TypeError, "roll(): argument 'input' (position 1) must be Tensor, not list"),
    "chunk of a list": (lambda: torch.chunk([1], 1), TypeError, "chunk(): argument 'input' (position 1) must be Tensor, not list"),
    "diag of a list": (lambda: torch.diag([1]), TypeError, "diag(): argument 'input' (position 1) must be Tensor, not list"),
    "diagonal of a list": (lambda: torch.diagonal([[1]]), TypeError, "diagonal(): argument 'input' (position 1) must be Tensor, not list"),
    "movedim of a list": (lambda: torch.movedim([1], 0, 0), TypeError, "movedim(): argument 'input' (position 1) must be Tensor, not list"),
    "real of a list": (lambda: torch.real([1]), TypeError, "real(): argument 'input' (position 1) must be Tensor, not list"),
    "conj of a list": (lambda: torch.conj([1]), TypeError, "conj(): argument 'input' (position 1) must be Tensor, not list"),
    "fft of a list": (lambda: torch.fft.fft([1.0]), TypeError, "fft_fft(): argument 'input' (position 1) must be Tensor, not list"),
    "masked_select of a list": (lambda: torch.masked_select(SINGLE, [True]), TypeError, "masked_select(): argument 'mask' (position 2) must be Tensor, not list"),
    "masked_scatter of a list": (lambda: torch.masked_scatter(SINGLE, BOOLS, [1.0]), TypeError, "masked_scatter(): argument 'source' (position 3) must be Tensor, not list"),
    "index_select of a list": (lambda: torch.index_select(SINGLE, 0, [0]), TypeError, "index_select(): argument 'index' (position 3) must be Tensor, not list"),
    "addmv of a list": (lambda: torch.addmv(SINGLE, SINGLE, [1.0]), TypeError, "addmv(): argument 'vec' (position 3) must be Tensor, not list"),
    "baddbmm of a list": (lambda: torch.baddbmm([1.0], SINGLE, SINGLE), TypeError, "baddbmm(): argument 'input' (position 1) must be Tensor, not list"),
    "expand_as of a list": (lambda: SINGLE.expand_as([1.0]), TypeError, "expand_as(): argument 'other' (position 1) must be Tensor, not list"),
    "tensor_split of a list": (lambda: torch.tensor_split([1.0], 1), TypeError, "tensor_split(): argument 'input' (position 1) must be Tensor, not list"),
    "hstack of numbers": (lambda: torch.hstack([SINGLE, 1.5]), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "dstack of numbers": (lambda: torch.dstack([SINGLE, 1.5]), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "column_stack of numbers": (lambda: torch.column_stack([SINGLE, 1.5]), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "block_diag of numbers": (lambda: torch.block_diag(SINGLE[0], 1.5), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "broadcast_tensors of numbers": (lambda: torch.broadcast_tensors(SINGLE[0], 1.5), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "cartesian_prod of numbers": (lambda: torch.cartesian_prod(SINGLE[0], 1.5), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "meshgrid of numbers": (lambda: torch.meshgrid(SINGLE[0], 1.5), TypeError, "expected Tensor as element 1 in argument 0, but got float"),
    "hash_tensor of nothing": (lambda: torch.hash_tensor(torch.ones(0, 2), 0), IndexError, "hash_tensor: Expected reduction dim 0 to have non-zero size."),
    "hash_tensor, complex": (lambda: torch.hash_tensor(torch.tensor([1j])), NotImplementedError, "\"xor_sum_cpu\" not implemented for 'ComplexFloat'"),
}


@pytest.mark.parametrize("name", CASES)
def test_message_is_the_one_that_pytorch_gives(name: str) -> None:
    call, kind, message = CASES[name]
    with pytest.raises(kind) as caught:
        call()
    assert (type(caught.value), str(caught.value)) == (kind, message)


def test_legacy_constructors_take_any_sequence() -> None:
    """Ranges and other sequences are values; sizes and `torch.Size` are shapes."""
    assert torch.LongTensor(range(3)).tolist() == [0, 1, 2]
    assert torch.Tensor(deque([1, 2])).tolist() == [1.0, 2.0]
    assert torch.FloatTensor(torch.Size([2, 1])).shape == torch.Tensor(2, 1).shape == (2, 1)


def test_names_and_refusals_of_operators() -> None:
    """Functions that differ from the op of the same name still carry its name; `~` has its own error."""
    assert [f.__name__ for f in (F.relu, F.softmax, F.log_softmax)] == ["relu", "softmax", "log_softmax"]
    with pytest.raises(TypeError, match=r"^~ \(operator.invert\) is only implemented on integer and Boolean-type tensors$"):
        print(~SINGLE)
    with pytest.raises(RuntimeError, match="^element 0 of tensors does not require grad and does not have a grad_fn$"):
        SINGLE.backward()
    with pytest.raises(RuntimeError, match="^INDICES element is out of DATA bounds, id=5 axis_dim=2$"):
        SINGLE.index_select(1, torch.tensor([5]))
    with pytest.raises(IndexError, match="^index out of range in self$"):
        SINGLE.index_select(0, torch.tensor([5]))


def test_equality_with_an_array() -> None:
    """`==` compares with a NumPy array, on either side; `<` refuses it."""
    array = np.array([0, 5, 2])
    tensor = torch.tensor([0, 1, 2])
    assert (tensor == array).tolist() == (array == tensor).tolist() == [True, False, True]
    with pytest.raises(TypeError):
        tensor < array  # noqa: B015
