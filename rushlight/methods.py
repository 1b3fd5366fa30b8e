"""The methods of a Tensor that are ops, one line each in the block of its family's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import dtypes as dt, operators, ops
from .operators import Operators
from .ops.define import inplace

if TYPE_CHECKING:
    from .tensor import Tensor


def _conversion(dtype: dt.dtype) -> Callable[..., Tensor]:
    """The method that converts to one dtype, such as `Tensor.float`."""

    def method(self: Any, memory_format: Any = None) -> Tensor:
        return self.to(dtype, memory_format=memory_format)

    method.__name__ = method.__qualname__ = dtype.alias or dtype.name
    method.__doc__ = f"This tensor as {dtype.name}."
    return method


class Methods(Operators):
    """`exp = ops.exp` makes ``x.exp()``; `inplace(ops.exp)` makes ``x.exp_()``."""

    __slots__ = ()

    # ops/arithmetic.py
    add, add_, sub, sub_, rsub = ops.add, ops.add_, ops.sub, ops.sub_, ops.rsub
    subtract, subtract_ = ops.subtract, ops.subtract_
    mul, mul_ = ops.mul, operators.mul_
    multiply, multiply_ = ops.multiply, inplace(ops.multiply)
    div, div_, divide, divide_, true_divide, true_divide_ = ops.div, ops.div_, ops.divide, ops.divide_, ops.true_divide, inplace(ops.true_divide)
    floor_divide, floor_divide_ = ops.floor_divide, ops.floor_divide_
    remainder, remainder_ = ops.remainder, operators.remainder_
    fmod, fmod_ = ops.fmod, inplace(ops.fmod)
    neg, neg_, negative, negative_ = ops.neg, inplace(ops.neg), ops.negative, inplace(ops.negative)
    clone, copy_ = ops.clone, ops.copy_

    # ops/views.py, parts.py
    as_strided, view, view_as, reshape = ops.as_strided, ops.view, ops.view_as, ops.reshape
    permute, transpose, t, T, mT, H, mH, adjoint = ops.permute, ops.transpose, ops.t, property(ops.T), property(ops.mT), property(ops.H), property(ops.mH), ops.adjoint
    swapaxes, swapdims = ops.swapaxes, ops.swapdims
    unsqueeze, squeeze, expand, expand_as, broadcast_to = ops.unsqueeze, ops.squeeze, ops.expand, ops.expand_as, ops.broadcast_to
    select, narrow, diagonal, unfold = ops.select, ops.narrow, ops.diagonal, ops.unfold
    split, split_with_sizes, chunk, tensor_split, unbind = ops.split_of_tensor, ops.split_with_sizes, ops.chunk, ops.tensor_split, ops.unbind
    contiguous, is_contiguous, detach = ops.contiguous, ops.is_contiguous, ops.detach

    # ops/creation.py, from_data.py
    new_empty, new_empty_strided, new_zeros, new_ones, new_full = ops.new_empty, ops.new_empty_strided, ops.new_zeros, ops.new_ones, ops.new_full
    new_tensor, new = ops.new_tensor, ops.new

    # ops/complex.py
    conj, conj_physical, conj_physical_, resolve_conj, resolve_neg, is_conj = ops.conj, ops.conj_physical, inplace(ops.conj_physical), ops.resolve_conj, ops.resolve_neg, ops.is_conj
    real, imag = property(ops.real), property(ops.imag)
    sgn, sgn_ = ops.sgn, inplace(ops.sgn)

    # ops/combine.py
    fill_, zero_, where = ops.fill_, ops.zero_, ops.where_method

    # ops/index.py
    index_put, index_put_ = ops.index_put, ops.index_put_

    # ops/reduction.py
    sum, mean, sum_to_size, prod, nansum, nanmean = ops.sum, ops.mean, ops.sum_to_size, ops.prod, ops.nansum, ops.nanmean
    var, std, logsumexp, all, any, count_nonzero = ops.var, ops.std, ops.logsumexp, ops.all, ops.any, ops.count_nonzero

    # ops/extrema.py
    amax, amin, aminmax, max, min, argmax, argmin = ops.amax, ops.amin, ops.aminmax, ops.max, ops.min, ops.argmax, ops.argmin
    maximum, minimum, fmax, fmin = ops.maximum, ops.minimum, ops.fmax, ops.fmin
    median, nanmedian, mode, kthvalue, topk = ops.median, ops.nanmedian, ops.mode, ops.kthvalue, ops.topk

    # ops/scan.py
    cumsum, cumsum_, cumprod, cumprod_ = ops.cumsum, ops.cumsum_, ops.cumprod, ops.cumprod_
    cummax, cummin, logcumsumexp, diff = ops.cummax, ops.cummin, ops.logcumsumexp, ops.diff

    # ops/sorting.py
    sort, argsort, msort = ops.sort, ops.argsort, ops.msort
    unique, unique_consecutive = ops.unique, ops.unique_consecutive

    # ops/softmax.py
    softmax, log_softmax = ops.softmax, ops.log_softmax

    # ops/vector_norm.py
    norm, dist, renorm, renorm_ = ops.tensor_norm, ops.dist, ops.renorm, inplace(ops.renorm)

    # ops/statistics.py
    quantile, nanquantile, histc, histogram, bincount = ops.quantile, ops.nanquantile, ops.histc, ops.histogram, ops.bincount
    hash_tensor = ops.hash_tensor
    cov, corrcoef, trace = ops.cov, ops.corrcoef, ops.trace

    # ops/matmul.py
    matmul, mm, bmm, mv, dot, vdot, inner, outer, ger = ops.matmul, ops.mm, ops.bmm, ops.mv, ops.dot, ops.vdot, ops.inner, ops.outer, ops.outer
    addmm, addmm_, addmv, addmv_, addr, addr_ = ops.addmm, inplace(ops.addmm), ops.addmv, inplace(ops.addmv), ops.addr, inplace(ops.addr)
    addbmm, addbmm_, baddbmm, baddbmm_ = ops.addbmm, inplace(ops.addbmm), ops.baddbmm, inplace(ops.baddbmm)

    # ops/contraction.py
    cross = ops.cross
    kron = ops.kron

    # ops/linalg.py
    cholesky, cholesky_inverse, cholesky_solve, triangular_solve = ops.cholesky, ops.cholesky_inverse, ops.cholesky_solve, ops.triangular_solve
    qr, geqrf, orgqr, ormqr, svd = ops.qr, ops.geqrf, ops.linalg_householder_product, ops.ormqr, ops.svd
    lu, lu_solve, pinverse, inverse = ops.lu, ops.lu_solve, ops.pinverse, ops.inverse
    det, logdet, slogdet = ops.linalg_det, ops.logdet, ops.slogdet
    matrix_power, matrix_exp = ops.matrix_power, ops.matrix_exp

    # ops/fft.py
    stft, istft = ops.stft, ops.istft

    # ops/pointwise.py
    abs, abs_, exp, exp_, log, log_, sqrt, sqrt_ = ops.abs, inplace(ops.abs), ops.exp, inplace(ops.exp), ops.log, inplace(ops.log), ops.sqrt, inplace(ops.sqrt)
    relu, relu_, isnan = ops.relu, inplace(ops.relu), ops.isnan
    pow, pow_ = ops.pow, operators.pow_
    absolute, absolute_ = ops.absolute, inplace(ops.absolute)
    eq, eq_, ne, ne_, lt, lt_ = ops.eq, inplace(ops.eq), ops.ne, inplace(ops.ne), ops.lt, inplace(ops.lt)
    le, le_, gt, gt_, ge, ge_ = ops.le, inplace(ops.le), ops.gt, inplace(ops.gt), ops.ge, inplace(ops.ge)
    greater, greater_, greater_equal, greater_equal_ = ops.greater, inplace(ops.greater), ops.greater_equal, inplace(ops.greater_equal)
    less, less_, less_equal, less_equal_ = ops.less, inplace(ops.less), ops.less_equal, inplace(ops.less_equal)
    not_equal, not_equal_ = ops.not_equal, inplace(ops.not_equal)

    # ops/scatter.py, index_slices.py
    gather, take_along_dim, index_select, take, nonzero, nonzero_static, argwhere = ops.gather, ops.take_along_dim, ops.index_select, ops.take, ops.nonzero, ops.nonzero_static, ops.argwhere
    index_add, index_add_, index_copy, index_copy_ = ops.index_add, ops.index_add_, ops.index_copy, ops.index_copy_
    index_fill, index_fill_, index_reduce, index_reduce_ = ops.index_fill, ops.index_fill_, ops.index_reduce, ops.index_reduce_
    scatter, scatter_, scatter_add, scatter_add_ = ops.scatter, ops.scatter_, ops.scatter_add, ops.scatter_add_
    scatter_reduce, scatter_reduce_, put, put_ = ops.scatter_reduce, ops.scatter_reduce_, ops.put, ops.put_
    masked_fill, masked_fill_, masked_select = ops.masked_fill, ops.masked_fill_, ops.masked_select
    masked_scatter, masked_scatter_ = ops.masked_scatter, ops.masked_scatter_

    # ops/rearrange.py, grids.py, view_copies.py
    flatten, unflatten, ravel, reshape_as, movedim, moveaxis = ops.flatten, ops.unflatten, ops.ravel, ops.reshape_as, ops.movedim, ops.moveaxis
    flip, fliplr, flipud, roll, rot90 = ops.flip, ops.fliplr, ops.flipud, ops.roll, ops.rot90
    repeat, tile, repeat_interleave = ops.repeat, ops.tile, ops.repeat_interleave
    fill_diagonal_ = ops.fill_diagonal_
    diag, diag_embed, diagflat, tril, tril_, triu, triu_ = ops.diag, ops.diag_embed, ops.diagflat, ops.tril, inplace(ops.tril), ops.triu, inplace(ops.triu)
    hsplit, vsplit, dsplit = ops.hsplit, ops.vsplit, ops.dsplit
    select_scatter, slice_scatter, diagonal_scatter, as_strided_scatter = ops.select_scatter, ops.slice_scatter, ops.diagonal_scatter, ops.as_strided_scatter
    squeeze_, unsqueeze_, t_, transpose_, swapaxes_, swapdims_, as_strided_ = ops.squeeze_, ops.unsqueeze_, ops.t_, ops.transpose_, ops.transpose_, ops.transpose_, ops.as_strided_
    narrow_copy, unsafe_split, unsafe_split_with_sizes, unsafe_chunk = ops.narrow_copy, ops.unsafe_split, ops.unsafe_split_with_sizes, ops.unsafe_chunk

    # ops/trigonometry.py
    sin, sin_ = ops.sin, inplace(ops.sin)
    cos, cos_ = ops.cos, inplace(ops.cos)
    tan, tan_ = ops.tan, inplace(ops.tan)
    asin, asin_ = ops.asin, inplace(ops.asin)
    acos, acos_ = ops.acos, inplace(ops.acos)
    atan, atan_ = ops.atan, inplace(ops.atan)
    sinh, sinh_ = ops.sinh, inplace(ops.sinh)
    cosh, cosh_ = ops.cosh, inplace(ops.cosh)
    tanh, tanh_ = ops.tanh, inplace(ops.tanh)
    asinh, asinh_ = ops.asinh, inplace(ops.asinh)
    acosh, acosh_ = ops.acosh, inplace(ops.acosh)
    atanh, atanh_ = ops.atanh, inplace(ops.atanh)
    atan2, atan2_, arctan2, arctan2_ = ops.atan2, inplace(ops.atan2), ops.arctan2, inplace(ops.arctan2)
    arcsin, arcsin_ = ops.arcsin, inplace(ops.arcsin)
    arccos, arccos_ = ops.arccos, inplace(ops.arccos)
    arctan, arctan_ = ops.arctan, inplace(ops.arctan)
    arcsinh, arcsinh_ = ops.arcsinh, inplace(ops.arcsinh)
    arccosh, arccosh_ = ops.arccosh, inplace(ops.arccosh)
    arctanh, arctanh_ = ops.arctanh, inplace(ops.arctanh)

    # ops/rounding.py
    ceil, ceil_ = ops.ceil, inplace(ops.ceil)
    floor, floor_ = ops.floor, inplace(ops.floor)
    trunc, trunc_, fix, fix_ = ops.trunc, inplace(ops.trunc), ops.fix, inplace(ops.fix)
    frac, frac_ = ops.frac, inplace(ops.frac)
    round, round_ = ops.round, inplace(ops.round)
    sign, sign_ = ops.sign, inplace(ops.sign)
    copysign, copysign_ = ops.copysign, inplace(ops.copysign)
    heaviside, heaviside_ = ops.heaviside, inplace(ops.heaviside)
    nextafter, nextafter_ = ops.nextafter, inplace(ops.nextafter)
    ldexp, ldexp_ = ops.ldexp, inplace(ops.ldexp)
    nan_to_num, nan_to_num_ = ops.nan_to_num, inplace(ops.nan_to_num)
    signbit, frexp = ops.signbit, ops.frexp

    # ops/logic.py
    logical_and, logical_and_ = ops.logical_and, inplace(ops.logical_and)
    logical_or, logical_or_ = ops.logical_or, inplace(ops.logical_or)
    logical_xor, logical_xor_ = ops.logical_xor, inplace(ops.logical_xor)
    logical_not, logical_not_ = ops.logical_not, inplace(ops.logical_not)
    bitwise_and, bitwise_and_ = ops.bitwise_and, operators.bitwise_and_
    bitwise_or, bitwise_or_ = ops.bitwise_or, operators.bitwise_or_
    bitwise_xor, bitwise_xor_ = ops.bitwise_xor, operators.bitwise_xor_
    bitwise_not, bitwise_not_ = ops.bitwise_not, inplace(ops.bitwise_not)
    bitwise_left_shift, bitwise_left_shift_ = ops.bitwise_left_shift, operators.bitwise_left_shift_
    bitwise_right_shift, bitwise_right_shift_ = ops.bitwise_right_shift, operators.bitwise_right_shift_
    gcd, gcd_ = ops.gcd, inplace(ops.gcd)
    lcm, lcm_ = ops.lcm, inplace(ops.lcm)
    isfinite, isinf, isposinf, isneginf, isreal, isclose, allclose, equal = ops.isfinite, ops.isinf, ops.isposinf, ops.isneginf, ops.isreal, ops.isclose, ops.allclose, ops.equal
    is_nonzero, is_same_size, is_neg = ops.is_nonzero, ops.is_same_size, ops.is_neg

    # ops/compound.py
    square, square_ = ops.square, inplace(ops.square)
    reciprocal, reciprocal_ = ops.reciprocal, inplace(ops.reciprocal)
    rsqrt, rsqrt_ = ops.rsqrt, inplace(ops.rsqrt)
    exp2, exp2_ = ops.exp2, inplace(ops.exp2)
    expm1, expm1_ = ops.expm1, inplace(ops.expm1)
    log2, log2_ = ops.log2, inplace(ops.log2)
    log10, log10_ = ops.log10, inplace(ops.log10)
    log1p, log1p_ = ops.log1p, inplace(ops.log1p)
    sinc, sinc_ = ops.sinc, inplace(ops.sinc)
    deg2rad, deg2rad_ = ops.deg2rad, inplace(ops.deg2rad)
    rad2deg, rad2deg_ = ops.rad2deg, inplace(ops.rad2deg)
    logit, logit_ = ops.logit, inplace(ops.logit)
    hypot, hypot_ = ops.hypot, inplace(ops.hypot)
    float_power, float_power_ = ops.float_power, ops.float_power_
    clamp_min, clamp_min_ = ops.clamp_min, inplace(ops.clamp_min)
    clamp_max, clamp_max_ = ops.clamp_max, inplace(ops.clamp_max)
    positive, logaddexp, logaddexp2, angle = ops.positive, ops.logaddexp, ops.logaddexp2, ops.angle
    clip, clip_ = ops.clip, ops.clip_
    clamp, clamp_, lerp, lerp_, addcmul, addcmul_, addcdiv, addcdiv_ = ops.clamp, ops.clamp_, ops.lerp, ops.lerp_, ops.addcmul, ops.addcmul_, ops.addcdiv, ops.addcdiv_

    # ops/special.py
    erf, erf_, erfc, erfc_, erfinv, erfinv_ = ops.erf, inplace(ops.erf), ops.erfc, inplace(ops.erfc), ops.erfinv, inplace(ops.erfinv)
    lgamma, lgamma_, digamma, digamma_ = ops.lgamma, inplace(ops.lgamma), ops.digamma, inplace(ops.digamma)
    polygamma, polygamma_, mvlgamma, mvlgamma_ = ops.tensor_polygamma, inplace(ops.tensor_polygamma), ops.mvlgamma, inplace(ops.mvlgamma)
    igamma, igamma_, igammac, igammac_ = ops.igamma, inplace(ops.igamma), ops.igammac, inplace(ops.igammac)
    xlogy, xlogy_ = ops.xlogy, inplace(ops.xlogy)

    # ops/bessel.py
    i0, i0_ = ops.i0, inplace(ops.i0)

    # ops/activation.py
    sigmoid, sigmoid_, hardshrink, prelu = ops.sigmoid, inplace(ops.sigmoid), ops.hardshrink, ops.prelu

    # ops/random.py
    bernoulli, multinomial = ops.bernoulli, ops.multinomial

    # ops/random_fill.py
    uniform_, normal_, random_, exponential_ = ops.uniform_, ops.normal_, ops.random_, ops.exponential_
    geometric_, cauchy_, log_normal_, bernoulli_ = ops.geometric_, ops.cauchy_, ops.log_normal_, ops.bernoulli_

    # Conversions
    float, double, half, bfloat16 = map(_conversion, (dt.float32, dt.float64, dt.float16, dt.bfloat16))
    long, int, short, char = map(_conversion, (dt.int64, dt.int32, dt.int16, dt.int8))
    byte, bool, cfloat, cdouble = map(_conversion, (dt.uint8, dt.bool_, dt.complex64, dt.complex128))
