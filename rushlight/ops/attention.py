"""Attention: softmax(query @ key.T) @ value, alone and with the projections of multi-head attention."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from .. import dtypes
from ..autocasting import LOWER, autocasts
from .combine import cat
from .creation import zeros, zeros_like
from .dropout import dropout
from .flash_attention import attention_weights, flash_attention, is_common
from .matmul import bmm, c_name, linear

if TYPE_CHECKING:
    from ..dtypes import dtype as DType
    from ..tensor import Tensor

_NEGATIVE_INFINITY = float("-inf")


class SDPBackend(Enum):
    """PyTorch's implementations of attention. Here is one, which stands for both of those that run on a CPU.

    >>> nn.attention.SDPBackend.MATH
    <SDPBackend.MATH: 0>
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


_CPU_BACKENDS = {SDPBackend.MATH, SDPBackend.FLASH_ATTENTION}
_enabled_backends: frozenset[SDPBackend] = frozenset(SDPBackend)
_flash_enabled = True


def enable_backends(backends: Sequence[SDPBackend] | frozenset[SDPBackend]) -> frozenset[SDPBackend]:
    """Allow only these implementations, as `nn.attention.sdpa_kernel` does; returns those allowed before."""
    global _enabled_backends, _flash_enabled
    previous, _enabled_backends = _enabled_backends, frozenset(backends)
    _flash_enabled = SDPBackend.FLASH_ATTENTION in _enabled_backends
    return previous


@autocasts(LOWER)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + mask) @ value`` over the last two dimensions.

    query ``(*, L, E)``, key ``(*, S, E)``, value ``(*, S, V)``; a bool mask is True where attention is allowed, a float
    mask is added; rows that may attend to nothing give zeros. ``is_causal`` allows position ``i`` to see up to ``i``;
    ``scale`` is ``1/sqrt(E)`` by default; ``enable_gqa`` shares each key and value head among several query heads.

    >>> query = torch.zeros(1, 2, 4)
    >>> F.scaled_dot_product_attention(query, query, torch.arange(2.0).view(1, 2, 1), is_causal=True)
    tensor([[[0.0000],
             [0.5000]]])
    """
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if _flash_enabled and not enable_gqa and is_common(query, key, value, attn_mask, dropout_p):
        return flash_attention(query, key, value, attn_mask, scale, is_causal)
    _check_attention(query, key, value, attn_mask, dropout_p)
    if not _enabled_backends & _CPU_BACKENDS:
        raise RuntimeError(
            "No viable backend for scaled_dot_product_attention was found. "
            "This is likely due to turning off both the math kernel and the fused kernels."
        )
    if enable_gqa:
        key, value = _repeat_heads(query, key), _repeat_heads(query, value)
        return scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale)
    if scale is None:
        scale = 1 / math.sqrt(query.size(-1)) if query.size(-1) else math.inf

    # Scores and their softmax are computed in float32 at least.
    out_dtype = query.dtype
    if out_dtype in (dtypes.float16, dtypes.bfloat16):
        query, key, value = query.float(), key.float(), value.float()
    weights = attention_weights(query, key, attn_mask, scale, is_causal)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p, True)
    return (weights @ value).to(out_dtype)


def _repeat_heads(query: Tensor, shared: Tensor) -> Tensor:
    heads = query.size(-3)
    if heads % shared.size(-3) != 0:
        raise RuntimeError("Number of heads in key and value must divide the number of heads in query")
    return shared.repeat_interleave(heads // shared.size(-3), dim=-3)


def _check_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout_p: float) -> None:
    tensors = {"query": query, "key": key, "value": value}
    if len({tensor.dtype for tensor in tensors.values()}) > 1:
        found = [f"{name}.dtype: {_type_name(tensor.dtype)}" for name, tensor in tensors.items()]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, "
            f"but got {found[0]} {found[1]} and {found[2]} instead."
        )
    if any(tensor.dim() < 2 for tensor in tensors.values()):
        found = [f"{name}.dim: {tensor.dim()}" for name, tensor in tensors.items()]
        raise RuntimeError(
            "Expected query, key, and value to all be  at least 2 dimensional, "
            f"but got {found[0]} {found[1]} and {found[2]} instead."
        )
    if mask is not None and mask.dtype not in (dtypes.bool_, dtypes.float32, query.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, "
            f"but got attn_mask.dtype: {_type_name(mask.dtype)} and  query.dtype: {_type_name(query.dtype)} instead."
        )
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")


def _type_name(dtype: DType) -> str:
    """The C++ name of a dtype as these messages spell it, which differs for two integers."""
    name = c_name(dtype)
    return {"long long": "long int", "short": "short int"}.get(name, name)


def canonical_mask(
    mask: Tensor | None, name: str, dtype: DType, other: Tensor | None = None, other_name: str = ""
) -> Tensor | None:
    """A mask that is True where attention is not allowed, as one to be added: ``-inf`` there. Float masks stay.

    Warns if ``other``, the second mask of the same call, has another dtype.
    """
    if mask is None:
        return None
    if mask.dtype != dtypes.bool_ and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and mask.dtype != other.dtype:
        warnings.warn(
            f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=3,
        )
    if mask.is_floating_point():
        return mask
    return zeros_like(mask, dtype=dtype).masked_fill_(mask, _NEGATIVE_INFINITY)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention on ``query (L, N, E)``, ``key`` and ``value (S, N, E)``, or without ``N``; see
    `nn.MultiheadAttention`, which holds the weights.

    Masks are True, or ``-inf``, where attention is not allowed: ``attn_mask`` ``(L, S)`` or ``(N * num_heads, L, S)``,
    ``key_padding_mask`` ``(N, S)``. ``is_causal`` only promises that ``attn_mask`` is the causal one.

    >>> x, weight, out = torch.ones(3, 1, 2), torch.ones(6, 2), torch.ones(2, 2)
    >>> args = (x, x, x, 2, 1, weight, None, None, None, False, 0.0, out, None)
    >>> F.multi_head_attention_forward(*args)[0].shape
    torch.Size([3, 1, 2])
    """
    is_batched = _check_multi_head(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not is_batched:
        query, key, value = _unsqueeze_shared(query, key, value)
        key_padding_mask = key_padding_mask.unsqueeze(0) if key_padding_mask is not None else None
    length, batch, embed_dim = query.shape
    source_length = key.shape[0]

    key_padding_mask = canonical_mask(
        key_padding_mask, "key_padding_mask", query.dtype, other=attn_mask, other_name="attn_mask"
    )
    if is_causal and attn_mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. "
            "You may use the Transformer module method `generate_square_subsequent_mask` to create this mask."
        )
    if is_causal and key_padding_mask is None and not need_weights:
        attn_mask = None  # the causal mask can be left to scaled_dot_product_attention
    else:
        attn_mask = canonical_mask(attn_mask, "attn_mask", query.dtype)
        is_causal = is_causal and key_padding_mask is None

    if embed_dim != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed_dim}")
    head_dim = embed_dim // num_heads
    if head_dim * num_heads != embed_dim:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}"
            )
        q, k, v = _project_separately(
            (query, key, value), (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias
        )
    else:
        if key.shape != value.shape:
            raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
        if in_proj_weight is None:
            raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias)
    if attn_mask is not None:
        attn_mask = _batched_mask(attn_mask, length, source_length, batch * num_heads)

    extra_keys = 0
    if bias_k is not None and bias_v is not None:
        _check_not_static(static_k, "key")
        _check_not_static(static_v, "value")
        k = cat([k, bias_k.repeat(1, batch, 1)])
        v = cat([v, bias_v.repeat(1, batch, 1)])
        extra_keys += 1
    elif bias_k is not None or bias_v is not None:
        given, missing = ("bias_k", "bias_v") if bias_v is None else ("bias_v", "bias_k")
        raise AssertionError(f"{given} is set but {missing} is None")

    heads = batch * num_heads
    q = _split_heads(q, heads, head_dim)
    k = _split_heads(k, heads, head_dim) if static_k is None else _check_static(static_k, "static_k", heads, head_dim)
    v = _split_heads(v, heads, head_dim) if static_v is None else _check_static(static_v, "static_v", heads, head_dim)
    if add_zero_attn:
        nothing = zeros((heads, 1, head_dim), dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 1), cat([v, nothing], 1)
        extra_keys += 1
    attn_mask, key_padding_mask = _show_keys(attn_mask, extra_keys), _show_keys(key_padding_mask, extra_keys)
    source_length = k.size(1)
    if key_padding_mask is not None:
        _check_padding_mask(key_padding_mask, batch, source_length)
        per_head = key_padding_mask.view(batch, 1, 1, source_length).expand(-1, num_heads, -1, -1)
        per_head = per_head.reshape(heads, 1, source_length)
        attn_mask = per_head if attn_mask is None else attn_mask + per_head
    if not training:
        dropout_p = 0.0

    weights: Tensor | None = None
    if need_weights:
        scores = bmm(q * math.sqrt(1.0 / head_dim), k.transpose(-2, -1))
        weights = (scores if attn_mask is None else scores + attn_mask).softmax(-1)
        if dropout_p > 0.0:
            weights = dropout(weights, dropout_p)
        attended = bmm(weights, v).transpose(0, 1)
        weights = weights.view(batch, num_heads, length, source_length)
        if average_attn_weights:
            weights = weights.mean(dim=1)
    else:
        if attn_mask is not None:
            shared = attn_mask.size(0) == 1
            attn_mask = attn_mask.unsqueeze(0) if shared else attn_mask.view(batch, num_heads, attn_mask.size(1), source_length)
        q, k, v = (part.view(batch, num_heads, part.size(1), head_dim) for part in (q, k, v))
        attended = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal).permute(2, 0, 1, 3)

    output = linear(attended.reshape(length * batch, embed_dim), out_proj_weight, out_proj_bias)
    output = output.view(length, batch, output.size(1))
    if not is_batched:
        output = output.squeeze(1)
        weights = weights.squeeze(0) if weights is not None else None
    return output, weights


def _unsqueeze_shared(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Add the batch dimension; tensors that were one object stay one, which lets the projections be one product."""
    batched_query = query.unsqueeze(1)
    batched_key = batched_query if key is query else key.unsqueeze(1)
    batched_value = batched_key if value is key else value.unsqueeze(1)
    return batched_query, batched_key, batched_value


def _project_packed(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The three projections, in as few products as there are different inputs."""
    embed_dim = query.size(-1)
    if query is key and key is value:
        q, k, v = linear(query, weight, bias).chunk(3, -1)
        return q, k, v
    if key is value:
        query_weight, rest_weight = weight.split([embed_dim, 2 * embed_dim])
        query_bias, rest_bias = bias.split([embed_dim, 2 * embed_dim]) if bias is not None else (None, None)
        k, v = linear(key, rest_weight, rest_bias).chunk(2, -1)
        return linear(query, query_weight, query_bias), k, v
    weights = weight.chunk(3)
    biases = bias.chunk(3) if bias is not None else (None, None, None)
    q, k, v = (linear(*arguments) for arguments in zip((query, key, value), weights, biases, strict=True))
    return q, k, v


def _project_separately(
    inputs: tuple[Tensor, Tensor, Tensor], weights: tuple[Tensor | None, ...], bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    embed_dim = inputs[0].size(-1)
    biases = bias.chunk(3) if bias is not None else (None, None, None)
    projected = []
    for name, input, weight, part in zip(("query", "key", "value"), inputs, weights, biases, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name[0]}_proj_weight is None")
        expected = (embed_dim, input.size(-1))
        if weight.shape != expected:
            raise AssertionError(f"expecting {name} weights shape of {expected}, but got {weight.shape}")
        projected.append(linear(input, weight, part))
    q, k, v = projected
    return q, k, v


def _split_heads(projected: Tensor, heads: int, head_dim: int) -> Tensor:
    """``(length, N, E)`` to ``(N * num_heads, length, head_dim)``."""
    return projected.reshape(projected.shape[0], heads, head_dim).transpose(0, 1).contiguous()


def _batched_mask(mask: Tensor, length: int, source_length: int, heads: int) -> Tensor:
    """An attention mask as ``(1 or N * num_heads, L, S)``."""
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    expected = (length, source_length) if mask.dim() == 2 else (heads, length, source_length)
    if mask.shape != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should be {expected}.")
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def _show_keys(mask: Tensor | None, count: int) -> Tensor | None:
    """The mask with ``count`` more keys that are visible to all."""
    if mask is None or count == 0:
        return mask
    return cat([mask, zeros((*mask.shape[:-1], count), dtype=mask.dtype, device=mask.device)], -1)


def _check_not_static(static: Tensor | None, name: str) -> None:
    if static is not None:
        raise AssertionError(f"bias cannot be added to static {name}.")


def _check_static(static: Tensor, name: str, heads: int, head_dim: int) -> Tensor:
    for dim, expected in ((0, heads), (2, head_dim)):
        if static.size(dim) != expected:
            raise AssertionError(f"expecting {name}.size({dim}) of {expected}, but got {static.size(dim)}")
    return static


def _check_padding_mask(mask: Tensor, batch: int, source_length: int) -> None:
    for dim, expected in enumerate((batch, source_length)):
        if mask.shape[dim] != expected:
            raise AssertionError(
                f"Expected key_padded_mask.shape[{dim}] to be {expected}, but got {mask.shape[dim]}"
            )


def _check_multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether the inputs have a batch dimension; raises where they and the masks do not agree on it."""
    dims = query.dim()
    if dims not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor"
        )
    kind = "batched (3-D)" if dims == 3 else "unbatched (2-D)"
    if key.dim() != dims or value.dim() != dims:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {dims}-D "
            f"but found {key.dim()}-D and {value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != dims - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {dims - 1}-D "
            f"but found {key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D "
                f"but found {attn_mask.dim()}-D tensor instead"
            )
        expected = (num_heads, query.shape[0], key.shape[0])
        if dims == 2 and attn_mask.dim() == 3 and attn_mask.shape != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return dims == 3
