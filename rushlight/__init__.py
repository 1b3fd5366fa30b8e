"""Rushlight: PyTorch's public API on an engine of its own.

``import rushlight as torch``, or ``rushlight.install()`` and then ``import torch``, or ``rushlight run script.py``.
This file is the public surface: one explicit re-export a line, and a table of the submodules that load when first used.
"""

from __future__ import annotations

import importlib
import math as _math
from typing import Any

# First, so that the function `tensor` below is not hidden by the module of that name.
from .tensor import (
    Tensor as Tensor,
    is_tensor as is_tensor,
)
from .autocasting import (
    autocast_decrement_nesting as autocast_decrement_nesting,
    autocast_increment_nesting as autocast_increment_nesting,
    clear_autocast_cache as clear_autocast_cache,
    get_autocast_cpu_dtype as get_autocast_cpu_dtype,
    get_autocast_dtype as get_autocast_dtype,
    get_autocast_gpu_dtype as get_autocast_gpu_dtype,
    is_autocast_cache_enabled as is_autocast_cache_enabled,
    is_autocast_cpu_enabled as is_autocast_cpu_enabled,
    is_autocast_enabled as is_autocast_enabled,
    set_autocast_cache_enabled as set_autocast_cache_enabled,
    set_autocast_cpu_dtype as set_autocast_cpu_dtype,
    set_autocast_cpu_enabled as set_autocast_cpu_enabled,
    set_autocast_dtype as set_autocast_dtype,
    set_autocast_enabled as set_autocast_enabled,
    set_autocast_gpu_dtype as set_autocast_gpu_dtype,
)
from .autograd import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
    is_anomaly_enabled as is_anomaly_enabled,
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad,
    set_anomaly_enabled as set_anomaly_enabled,
    set_grad_enabled as set_grad_enabled,
)
from .devices import (
    device as device,
    get_default_device as get_default_device,
    set_default_device as set_default_device,
)
from .dtypes import (
    bfloat16 as bfloat16,
    bool_ as bool,
    complex64 as complex64,
    complex128 as complex128,
    dtype as dtype,
    finfo as finfo,
    float8_e4m3fn as float8_e4m3fn,
    float8_e4m3fnuz as float8_e4m3fnuz,
    float8_e5m2 as float8_e5m2,
    float8_e5m2fnuz as float8_e5m2fnuz,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    get_default_dtype as get_default_dtype,
    iinfo as iinfo,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    promote as promote_types,
    set_default_dtype as set_default_dtype,
    uint8 as uint8,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
)
from .errors import OutOfMemoryError as OutOfMemoryError
from .install import install as install, is_installed, name_classes
from .memory_formats import (
    channels_last as channels_last,
    channels_last_3d as channels_last_3d,
    contiguous_format as contiguous_format,
    layout as layout,
    memory_format as memory_format,
    preserve_format as preserve_format,
    strided as strided,
)

# ops/arithmetic.py
from .ops import (
    divide as divide,
    multiply as multiply,
    negative as negative,
    subtract as subtract,
    true_divide as true_divide,
    add as add,
    clone as clone,
    div as div,
    floor_divide as floor_divide,
    fmod as fmod,
    mul as mul,
    neg as neg,
    remainder as remainder,
    rsub as rsub,
    sub as sub,
)

# ops/combine.py
from .ops import (
    concat as concat,
    concatenate as concatenate,
    cat as cat,
    fill as fill,
    stack as stack,
    where as where,
)

# ops/complex.py
from .ops import (
    complex as complex,
    conj as conj,
    conj_physical as conj_physical,
    imag as imag,
    is_complex as is_complex,
    is_conj as is_conj,
    polar as polar,
    real as real,
    resolve_conj as resolve_conj,
    resolve_neg as resolve_neg,
    sgn as sgn,
    view_as_complex as view_as_complex,
    view_as_real as view_as_real,
)

# ops/creation.py, from_data.py
from .ops import (
    arange as arange,
    as_tensor as as_tensor,
    asarray as asarray,
    empty as empty,
    empty_like as empty_like,
    empty_permuted as empty_permuted,
    empty_strided as empty_strided,
    eye as eye,
    from_dlpack as from_dlpack,
    from_numpy as from_numpy,
    frombuffer as frombuffer,
    full as full,
    full_like as full_like,
    linspace as linspace,
    logspace as logspace,
    ones as ones,
    ones_like as ones_like,
    range as range,
    scalar_tensor as scalar_tensor,
    tensor as tensor,
    tril_indices as tril_indices,
    triu_indices as triu_indices,
    zeros as zeros,
    zeros_like as zeros_like,
)

# ops/extrema.py
from .ops import (
    amax as amax,
    amin as amin,
    aminmax as aminmax,
    argmax as argmax,
    argmin as argmin,
    fmax as fmax,
    fmin as fmin,
    kthvalue as kthvalue,
    max as max,
    maximum as maximum,
    median as median,
    min as min,
    minimum as minimum,
    mode as mode,
    nanmedian as nanmedian,
    topk as topk,
)

# ops/index.py
from .ops import index_put as index_put
from .ops import index_put_ as index_put_

# ops/pointwise.py
from .ops import (
    absolute as absolute,
    greater as greater,
    greater_equal as greater_equal,
    less as less,
    less_equal as less_equal,
    not_equal as not_equal,
    abs as abs,
    eq as eq,
    exp as exp,
    ge as ge,
    gt as gt,
    isnan as isnan,
    le as le,
    log as log,
    lt as lt,
    ne as ne,
    pow as pow,
    relu as relu,
    sqrt as sqrt,
)

# ops/reduction.py
from .ops import (
    all as all,
    any as any,
    count_nonzero as count_nonzero,
    logsumexp as logsumexp,
    mean as mean,
    nanmean as nanmean,
    nansum as nansum,
    prod as prod,
    std as std,
    std_mean as std_mean,
    sum as sum,
    var as var,
    var_mean as var_mean,
)

# ops/scan.py
from .ops import (
    cummax as cummax,
    cummin as cummin,
    cumprod as cumprod,
    cumsum as cumsum,
    cumulative_trapezoid as cumulative_trapezoid,
    diff as diff,
    gradient as gradient,
    logcumsumexp as logcumsumexp,
    trapezoid as trapezoid,
    trapz as trapz,
)

# ops/softmax.py
from .ops import (
    log_softmax as log_softmax,
    softmax as softmax,
)

# ops/sorting.py
from .ops import (
    argsort as argsort,
    bucketize as bucketize,
    isin as isin,
    msort as msort,
    searchsorted as searchsorted,
    sort as sort,
    unique as unique,
    unique_consecutive as unique_consecutive,
)

# ops/statistics.py
from .ops import (
    bincount as bincount,
    cdist as cdist,
    corrcoef as corrcoef,
    cov as cov,
    hash_tensor as hash_tensor,
    histc as histc,
    histogram as histogram,
    histogramdd as histogramdd,
    nanquantile as nanquantile,
    quantile as quantile,
    trace as trace,
)

# ops/vector_norm.py
from .ops import (
    dist as dist,
    frobenius_norm as frobenius_norm,
    norm as norm,
    nuclear_norm as nuclear_norm,
    renorm as renorm,
)

# ops/views.py, parts.py
from .ops import (
    swapaxes as swapaxes,
    swapdims as swapdims,
    adjoint as adjoint,
    as_strided as as_strided,
    broadcast_shapes as broadcast_shapes,
    broadcast_tensors as broadcast_tensors,
    broadcast_to as broadcast_to,
    chunk as chunk,
    detach as detach,
    diagonal as diagonal,
    narrow as narrow,
    permute as permute,
    reshape as reshape,
    select as select,
    split as split,
    split_with_sizes as split_with_sizes,
    squeeze as squeeze,
    t as t,
    tensor_split as tensor_split,
    transpose as transpose,
    unbind as unbind,
    unsqueeze as unsqueeze,
)
# ops/scatter.py, index_slices.py
from .ops import (
    argwhere as argwhere,
    gather as gather,
    index_add as index_add,
    index_copy as index_copy,
    index_fill as index_fill,
    index_reduce as index_reduce,
    index_select as index_select,
    masked_fill as masked_fill,
    masked_scatter as masked_scatter,
    masked_select as masked_select,
    nonzero as nonzero,
    nonzero_static as nonzero_static,
    put as put,
    scatter as scatter,
    scatter_add as scatter_add,
    scatter_reduce as scatter_reduce,
    take as take,
    take_along_dim as take_along_dim,
    unravel_index as unravel_index,
)

# ops/rearrange.py, grids.py, view_copies.py
from .ops import (
    moveaxis as moveaxis,
    alias_copy as alias_copy,
    as_strided_copy as as_strided_copy,
    as_strided_scatter as as_strided_scatter,
    atleast_1d as atleast_1d,
    atleast_2d as atleast_2d,
    atleast_3d as atleast_3d,
    block_diag as block_diag,
    cartesian_prod as cartesian_prod,
    column_stack as column_stack,
    combinations as combinations,
    detach_copy as detach_copy,
    diag as diag,
    diag_embed as diag_embed,
    diagflat as diagflat,
    diagonal_copy as diagonal_copy,
    diagonal_scatter as diagonal_scatter,
    dsplit as dsplit,
    dstack as dstack,
    expand_copy as expand_copy,
    flatten as flatten,
    flip as flip,
    fliplr as fliplr,
    flipud as flipud,
    hsplit as hsplit,
    hstack as hstack,
    meshgrid as meshgrid,
    movedim as movedim,
    narrow_copy as narrow_copy,
    permute_copy as permute_copy,
    ravel as ravel,
    repeat_interleave as repeat_interleave,
    roll as roll,
    rot90 as rot90,
    row_stack as row_stack,
    select_copy as select_copy,
    select_scatter as select_scatter,
    slice_scatter as slice_scatter,
    split_copy as split_copy,
    split_with_sizes_copy as split_with_sizes_copy,
    squeeze_copy as squeeze_copy,
    t_copy as t_copy,
    tile as tile,
    transpose_copy as transpose_copy,
    tril as tril,
    triu as triu,
    unbind_copy as unbind_copy,
    unflatten as unflatten,
    unfold_copy as unfold_copy,
    unsafe_chunk as unsafe_chunk,
    unsafe_split as unsafe_split,
    unsafe_split_with_sizes as unsafe_split_with_sizes,
    unsqueeze_copy as unsqueeze_copy,
    view_copy as view_copy,
    vsplit as vsplit,
    vstack as vstack,
)

# ops/trigonometry.py
from .ops import (
    arccos as arccos,
    arccosh as arccosh,
    arcsin as arcsin,
    arcsinh as arcsinh,
    arctan as arctan,
    arctan2 as arctan2,
    arctanh as arctanh,
    acos as acos,
    acosh as acosh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    cos as cos,
    cosh as cosh,
    sin as sin,
    sinh as sinh,
    tan as tan,
    tanh as tanh,
)

# ops/rounding.py
from .ops import (
    fix as fix,
    ceil as ceil,
    copysign as copysign,
    floor as floor,
    frac as frac,
    frexp as frexp,
    heaviside as heaviside,
    ldexp as ldexp,
    nan_to_num as nan_to_num,
    nextafter as nextafter,
    round as round,
    sign as sign,
    signbit as signbit,
    trunc as trunc,
)

# ops/logic.py
from .ops import (
    can_cast as can_cast,
    result_type as result_type,
    get_device as get_device,
    is_inference as is_inference,
    allclose as allclose,
    bitwise_and as bitwise_and,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_not,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    equal as equal,
    gcd as gcd,
    is_floating_point as is_floating_point,
    is_neg as is_neg,
    is_nonzero as is_nonzero,
    is_same_size as is_same_size,
    is_signed as is_signed,
    isclose as isclose,
    isfinite as isfinite,
    isinf as isinf,
    isneginf as isneginf,
    isposinf as isposinf,
    isreal as isreal,
    lcm as lcm,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    numel as numel,
)

# ops/compound.py
from .ops import (
    clip as clip,
    addcdiv as addcdiv,
    addcmul as addcmul,
    angle as angle,
    clamp as clamp,
    clamp_max as clamp_max,
    clamp_min as clamp_min,
    deg2rad as deg2rad,
    exp2 as exp2,
    expm1 as expm1,
    float_power as float_power,
    hypot as hypot,
    lerp as lerp,
    log10 as log10,
    log1p as log1p,
    log2 as log2,
    logaddexp as logaddexp,
    logaddexp2 as logaddexp2,
    logit as logit,
    positive as positive,
    rad2deg as rad2deg,
    reciprocal as reciprocal,
    rsqrt as rsqrt,
    sinc as sinc,
    square as square,
)

# ops/special.py
from .ops import (
    digamma as digamma,
    erf as erf,
    erfc as erfc,
    erfinv as erfinv,
    igamma as igamma,
    igammac as igammac,
    lgamma as lgamma,
    mvlgamma as mvlgamma,
    polygamma as polygamma,
    xlogy as xlogy,
)

# ops/bessel.py
from .ops import i0 as i0

# ops/activation.py
from .ops import (
    celu as celu,
    celu_ as celu_,
    hardshrink as hardshrink,
    prelu as prelu,
    relu_ as relu_,
    selu as selu,
    selu_ as selu_,
    sigmoid as sigmoid,
    threshold as threshold,
    threshold_ as threshold_,
)

# ops/random.py
from .ops import (
    sample_dirichlet as _sample_dirichlet,
    standard_gamma as _standard_gamma,
    bernoulli as bernoulli,
    binomial as binomial,
    multinomial as multinomial,
    normal as normal,
    poisson as poisson,
    rand as rand,
    rand_like as rand_like,
    randint as randint,
    randint_like as randint_like,
    randn as randn,
    randn_like as randn_like,
    randperm as randperm,
)

# ops/dropout.py
from .ops import (
    rrelu as rrelu,
    rrelu_ as rrelu_,
    torch_alpha_dropout as alpha_dropout,
    torch_alpha_dropout_ as alpha_dropout_,
    torch_dropout as dropout,
    torch_dropout_ as dropout_,
    torch_feature_alpha_dropout as feature_alpha_dropout,
    torch_feature_alpha_dropout_ as feature_alpha_dropout_,
    torch_feature_dropout as feature_dropout,
    torch_feature_dropout_ as feature_dropout_,
    native_dropout as native_dropout,
)

# ops/numbered.py
from .ops import (
    torch_binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
    torch_cosine_embedding_loss as cosine_embedding_loss,
    torch_ctc_loss as ctc_loss,
    torch_embedding as embedding,
    torch_hinge_embedding_loss as hinge_embedding_loss,
    torch_kl_div as kl_div,
    torch_margin_ranking_loss as margin_ranking_loss,
    torch_poisson_nll_loss as poisson_nll_loss,
    torch_triplet_margin_loss as triplet_margin_loss,
)

# ops/padding.py
from .ops import (
    constant_pad_nd as constant_pad_nd,
)

# ops/recurrent.py
from .ops import (
    gru as gru,
    gru_cell as gru_cell,
    lstm as lstm,
    lstm_cell as lstm_cell,
    rnn_relu as rnn_relu,
    rnn_relu_cell as rnn_relu_cell,
    rnn_tanh as rnn_tanh,
    rnn_tanh_cell as rnn_tanh_cell,
)

# ops/conv.py
from .ops import (
    conv1d as conv1d,
    conv2d as conv2d,
    conv3d as conv3d,
    conv_tbc as conv_tbc,
    conv_transpose1d as conv_transpose1d,
    conv_transpose2d as conv_transpose2d,
    conv_transpose3d as conv_transpose3d,
    convolution as convolution,
)

# ops/contraction.py
from .ops import (
    bilinear as bilinear,
    cosine_similarity as cosine_similarity,
    cross as cross,
    einsum as einsum,
    kron as kron,
    pairwise_distance as pairwise_distance,
    pdist as pdist,
    tensordot as tensordot,
)

# ops/matmul.py
from .ops import (
    addbmm as addbmm,
    addmm as addmm,
    addmv as addmv,
    addr as addr,
    baddbmm as baddbmm,
    bmm as bmm,
    dot as dot,
    outer as ger,
    inner as inner,
    matmul as matmul,
    mm as mm,
    mv as mv,
    outer as outer,
    mm as spmm,
    vdot as vdot,
)

# ops/pool.py
from .ops import (
    avg_pool1d as avg_pool1d,
    max_pool1d as max_pool1d,
    max_pool1d_with_indices as max_pool1d_with_indices,
    max_pool2d as max_pool2d,
    max_pool3d as max_pool3d,
)

# ops/adaptive_pool.py
from .ops import (
    adaptive_avg_pool1d as adaptive_avg_pool1d,
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d,
)

# ops/norm_layers.py
from .ops import (
    native_batch_norm as native_batch_norm,
    native_group_norm as native_group_norm,
    native_layer_norm as native_layer_norm,
    rms_norm as rms_norm,
    torch_batch_norm as batch_norm,
    torch_group_norm as group_norm,
    torch_instance_norm as instance_norm,
    torch_layer_norm as layer_norm,
)

# ops/shuffle.py
from .ops import (
    channel_shuffle as channel_shuffle,
    channel_shuffle as native_channel_shuffle,
    pixel_shuffle as pixel_shuffle,
    pixel_unshuffle as pixel_unshuffle,
)

# ops/grid_sample.py
from .ops import (
    affine_grid_generator as affine_grid_generator,
    grid_sampler as grid_sampler,
    grid_sampler_2d as grid_sampler_2d,
    grid_sampler_3d as grid_sampler_3d,
)

# ops/linalg.py
from .ops import (
    vander as vander,
    chain_matmul as chain_matmul,
    cholesky as cholesky,
    cholesky_inverse as cholesky_inverse,
    cholesky_solve as cholesky_solve,
    linalg_det as det,
    geqrf as geqrf,
    inverse as inverse,
    logdet as logdet,
    lu as lu,
    lu_solve as lu_solve,
    lu_unpack as lu_unpack,
    matrix_exp as matrix_exp,
    norm_except_dim as norm_except_dim,
    matrix_power as matrix_power,
    linalg_householder_product as orgqr,
    ormqr as ormqr,
    pca_lowrank as pca_lowrank,
    pinverse as pinverse,
    qr as qr,
    slogdet as slogdet,
    svd as svd,
    svd_lowrank as svd_lowrank,
    triangular_solve as triangular_solve,
)

# ops/fft.py
from .ops import (
    istft as istft,
    stft as stft,
)

# ops/windows.py
from .ops import (
    bartlett_window as bartlett_window,
    blackman_window as blackman_window,
    hamming_window as hamming_window,
    hann_window as hann_window,
    kaiser_window as kaiser_window,
)

from .in_place import (
    abs_ as abs_,
    acos_ as acos_,
    acosh_ as acosh_,
    addmv_ as addmv_,
    arccos_ as arccos_,
    arccosh_ as arccosh_,
    arcsin_ as arcsin_,
    arcsinh_ as arcsinh_,
    arctan_ as arctan_,
    arctanh_ as arctanh_,
    as_strided_ as as_strided_,
    asin_ as asin_,
    asinh_ as asinh_,
    atan_ as atan_,
    atanh_ as atanh_,
    ceil_ as ceil_,
    clamp_ as clamp_,
    clamp_max_ as clamp_max_,
    clamp_min_ as clamp_min_,
    clip_ as clip_,
    conj_physical_ as conj_physical_,
    cos_ as cos_,
    cosh_ as cosh_,
    deg2rad_ as deg2rad_,
    detach_ as detach_,
    erf_ as erf_,
    erfc_ as erfc_,
    exp2_ as exp2_,
    exp_ as exp_,
    expm1_ as expm1_,
    fill_ as fill_,
    fix_ as fix_,
    floor_ as floor_,
    frac_ as frac_,
    gcd_ as gcd_,
    i0_ as i0_,
    lcm_ as lcm_,
    ldexp_ as ldexp_,
    log10_ as log10_,
    log1p_ as log1p_,
    log2_ as log2_,
    log_ as log_,
    logit_ as logit_,
    nan_to_num_ as nan_to_num_,
    neg_ as neg_,
    negative_ as negative_,
    rad2deg_ as rad2deg_,
    reciprocal_ as reciprocal_,
    resize_as_ as resize_as_,
    round_ as round_,
    rsqrt_ as rsqrt_,
    sigmoid_ as sigmoid_,
    sin_ as sin_,
    sinc_ as sinc_,
    sinh_ as sinh_,
    sqrt_ as sqrt_,
    square_ as square_,
    tan_ as tan_,
    tanh_ as tanh_,
    trunc_ as trunc_,
    xlogy_ as xlogy_,
    zero_ as zero_,
)
from .printing import set_printoptions as set_printoptions
from .random import (
    Generator as Generator,
    default_generator as default_generator,
    get_rng_state as get_rng_state,
    initial_seed as initial_seed,
    manual_seed as manual_seed,
    seed as seed,
    set_rng_state as set_rng_state,
)
from .report import explain as explain, report as report
from .settings import (
    are_deterministic_algorithms_enabled as are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode as get_deterministic_debug_mode,
    get_float32_matmul_precision as get_float32_matmul_precision,
    get_num_interop_threads as get_num_interop_threads,
    get_num_threads as get_num_threads,
    is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled,
    set_default_tensor_type as set_default_tensor_type,
    set_deterministic_debug_mode as set_deterministic_debug_mode,
    set_float32_matmul_precision as set_float32_matmul_precision,
    set_flush_denormal as set_flush_denormal,
    set_num_interop_threads as set_num_interop_threads,
    set_num_threads as set_num_threads,
    use_deterministic_algorithms as use_deterministic_algorithms,
)
from .shape import Size as Size
from .tensor_types import (
    BFloat16Tensor as BFloat16Tensor,
    BoolTensor as BoolTensor,
    ByteTensor as ByteTensor,
    CharTensor as CharTensor,
    DoubleTensor as DoubleTensor,
    FloatTensor as FloatTensor,
    HalfTensor as HalfTensor,
    IntTensor as IntTensor,
    LongTensor as LongTensor,
    ShortTensor as ShortTensor,
)
from .untyped_storage import TypedStorage as TypedStorage, UntypedStorage as UntypedStorage, is_storage as is_storage
from .version import __version__ as __version__

e, inf, nan, pi = _math.e, _math.inf, _math.nan, _math.pi
newaxis = None
float, double, half = float32, float64, float16
int, long, short = int32, int64, int16
cfloat, cdouble = complex64, complex128

#: Submodules that load when first used. Everything else that is public is above.
_SUBMODULES = frozenset((
    "_C", "accelerator", "amp", "autograd", "backends", "capture", "compiler", "cpu", "cuda", "distributed", "distributions", "fft", "func", "functional",
    "jit", "linalg", "metrics", "mps", "multiprocessing", "nn", "onnx", "ops", "optim", "overrides", "random", "return_types",
    "serialization", "signal", "special", "storage", "testing", "types", "utils", "version", "xpu",
))  # fmt: skip


#: Functions and a class whose modules load when first used.
_LAZY = {
    "autocast": "amp.autocast_mode", "GradScaler": "amp.grad_scaler", "save": "serialization", "load": "serialization", "to_dlpack": "utils.dlpack",
    "vmap": "func", "typename": "nn.module", "compile": "capture.compiled",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        module = importlib.import_module(f"{__name__}.{name}")
        if is_installed():
            name_classes()
        return module
    if name in _LAZY:
        found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        return found
    raise AttributeError(f"module 'torch' has no attribute '{name}'")
