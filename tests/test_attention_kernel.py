"""Attention as one entry: native code and NumPy rule against a float64 reference, and the public function's gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from chunks import run_chunks

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import dtypes as dt
from rushlight.autograd import gradcheck, gradgradcheck
from rushlight.engine import attention, attention_pairs, claims, llvm
from rushlight.engine.kernel import WORKSPACE, Lowered, Pointer
from rushlight.nn.attention import SDPBackend, sdpa_kernel
from rushlight.ops.card import CARDS
from rushlight.shape import Layout, layout

native = pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")

FORWARD, BACKWARD = CARDS["scaled_dot_product_attention"], CARDS["scaled_dot_product_attention_backward"]


def layout_of(array: np.ndarray) -> Layout:
    return layout(array.shape, tuple(s // array.itemsize for s in array.strides), dt.from_numpy(array.dtype))


def run(lowered: Lowered | None, arrays: list[np.ndarray], backwards: bool = False) -> None:
    """The calls over these operands, chunk by chunk in either order, in a workspace full of nan."""
    assert lowered is not None
    workspace = np.full(lowered.workspace + 64, 0xFF, np.uint8)
    for call in lowered.calls:
        bases = {WORKSPACE: workspace.ctypes.data, **{n: a.ctypes.data for n, a in enumerate(arrays)}}
        words = np.array([bases[w.operand] + w.offset if isinstance(w, Pointer) else w for w in call.words], np.int64)
        run_chunks(call, words, backwards, len(words) - claims.WORDS if call.kernel.name.startswith("attention_pairs") else None)
    assert (workspace[lowered.workspace :] == 0xFF).all(), "written behind the workspace"


def reference(query: np.ndarray, key: np.ndarray, value: np.ndarray, g: np.ndarray, mask: np.ndarray | None, scale: float, is_causal: bool) -> list[np.ndarray]:
    """Output, logsumexp and the three gradients in float64; a query that may see nothing gives zeros."""
    query, key, value, g = (a.astype(np.float64) for a in (query, key, value, g))
    scores = query @ key.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if is_causal:
        scores = np.where(np.tri(*scores.shape[-2:]) != 0, scores, -np.inf)
    highest = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isinf(highest), 0, highest))
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        logsumexp = np.where(total == 0, np.inf, highest + np.log(total))[..., 0]
    slopes = g @ value.swapaxes(-1, -2)
    slopes = weights * (slopes - (slopes * weights).sum(-1, keepdims=True)) * scale
    return [weights @ value, logsumexp, slopes @ key, slopes.swapaxes(-1, -2) @ query, weights.swapaxes(-1, -2) @ g]


def operands(queries: int, keys: int, head: int, strided: bool, mask: str, batch: int = 2, heads: int = 3) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None]:
    """Query, key and value; a gradient; a mask that hides all keys from one query (bool) or is one row for all queries (float)."""
    random = np.random.default_rng(queries * 1000 + keys * 10 + head)

    def made(length: int) -> np.ndarray:
        if strided:  # as the parts of one projection: (batch, position, 3 * heads * head)
            return random.standard_normal((batch, length, 3, heads, head), np.float32)[:, :, 1].transpose(0, 2, 1, 3)
        return random.standard_normal((batch, heads, length, head), np.float32)

    found = [made(queries), made(keys), made(keys)]
    g = made(queries)
    if mask == "bool":
        allowed = random.random((batch, heads, queries, keys)) < 0.7
        allowed[:, :, queries // 2] = False
        return found, g, allowed
    if mask == "float":
        return found, g, np.broadcast_to(random.standard_normal((batch, 1, 1, keys), np.float32), (batch, heads, queries, keys))
    return found, g, None


def empty(like: np.ndarray) -> np.ndarray:
    """Memory full of nan, in the order of the axes that the gradients have."""
    batch, heads, length, head = like.shape
    return np.full((batch, length, heads, head), np.nan, like.dtype).transpose(0, 2, 1, 3)


def both(tensors: list[np.ndarray], g: np.ndarray, mask: np.ndarray | None, scale: float, is_causal: bool, backwards: bool = False) -> list[np.ndarray]:
    """Native output, logsumexp and gradients; of bfloat16 by pairs."""
    kernels = attention_pairs if tensors[0].dtype == ml_dtypes.bfloat16 else attention
    masks = [] if mask is None else [mask]
    results = [empty(tensors[0]), np.full(tensors[0].shape[:3], np.nan, np.float32)]
    forward = [*tensors, *masks, *results]
    run(kernels.lower_forward(*map(layout_of, forward), scale=scale, is_causal=is_causal), forward, backwards)
    grads = [empty(t) for t in tensors]
    backward = [g, *tensors, *results, *masks, *grads]
    run(kernels.lower_backward(*map(layout_of, backward), scale=scale, is_causal=is_causal), backward, backwards)
    return [*results, *grads]


RESULTS = ("output", "logsumexp", "query", "key", "value")


def assert_close(found: Sequence[np.ndarray], expected: Sequence[np.ndarray], tolerance: float, names: Sequence[str] = RESULTS) -> None:
    for name, a, b in zip(names, found, expected, strict=True):
        a = a.astype(np.float64)
        size = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * size, err_msg=name)


SHAPES = [(1, 1, 16), (5, 5, 4), (16, 16, 16), (17, 3, 1), (33, 47, 33), (64, 64, 16), (70, 70, 20), (20, 200, 16), (140, 20, 4)]


@native
@pytest.mark.parametrize("mask", ["", "bool", "float"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_native_code_agrees_with_float64(shape: tuple[int, int, int], is_causal: bool, mask: str) -> None:
    for strided in (False, True):
        tensors, g, given = operands(*shape, strided, mask)
        found = both(tensors, g, given, 0.3, is_causal)
        assert_close(found, reference(*tensors, g, given, 0.3, is_causal), 3e-6)


@native
def test_every_short_length_agrees_with_float64() -> None:
    for length in range(1, 71):
        tensors, g, _ = operands(length, 71 - length, 4, True, "", batch=1, heads=1)
        assert_close(both(tensors, g, None, 0.5, length % 2 == 0), reference(*tensors, g, None, 0.5, length % 2 == 0), 3e-6)


@native
@pytest.mark.parametrize("is_causal", [False, True])
def test_rows_that_collide_in_the_cache_are_packed_to_the_same_result(is_causal: bool) -> None:
    apart, g, _ = operands(40, 70, 64, True, "", batch=1, heads=16)
    assert layout_of(apart[1]).stride[2] % 1024 == 0
    found = both(apart, g, None, 0.1, is_causal)
    assert_close(found, reference(*apart, g, None, 0.1, is_causal), 3e-6)
    together = [np.ascontiguousarray(t) for t in apart]
    for a, b in zip(found, both(together, np.ascontiguousarray(g), None, 0.1, is_causal), strict=True):
        np.testing.assert_array_equal(a, b)


pairs = pytest.mark.skipif(not llvm.AVAILABLE or not llvm.multiplies_pairs(), reason="needs a processor that multiplies pairs of bfloat16")
#: Of results and of weights, which are rounded to bfloat16 before they are multiplied. Gradients rest on the output as it was rounded.
ROUNDING, GRADIENT_ROUNDING = 2**-7, 2**-5


def halves(*shape: Any, **options: Any) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None]:
    """Operands in bfloat16; those in the same order of axes stay so."""
    tensors, g, mask = operands(*shape, **options)
    rounded = [t.astype(ml_dtypes.bfloat16) for t in (*tensors, g)]
    if mask is not None and mask.dtype != bool:
        mask = np.broadcast_to(mask[:, :1, :1].astype(ml_dtypes.bfloat16), mask.shape)
    return rounded[:3], rounded[3], mask


@pairs
@pytest.mark.parametrize("mask", ["", "bool", "float"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 16), (5, 5, 48), (16, 16, 32), (17, 3, 16), (33, 47, 64), (70, 70, 32), (20, 200, 16), (300, 21, 16)], ids=str)
def test_pairs_agree_with_float64(shape: tuple[int, int, int], is_causal: bool, mask: str) -> None:
    for strided in (False, True):
        tensors, g, given = halves(*shape, strided, mask)
        found = both(tensors, g, given, 0.3, is_causal)
        expected = reference(*tensors, g, given, 0.3, is_causal)
        assert_close(found[:1], expected[:1], ROUNDING, RESULTS[:1])
        assert_close(found[1:2], expected[1:2], 3e-6, RESULTS[1:2])
        assert_close(found[2:], expected[2:], GRADIENT_ROUNDING, RESULTS[2:])
        again = both([np.ascontiguousarray(t) for t in tensors], np.ascontiguousarray(g), given, 0.3, is_causal, backwards=True)
        for a, b in zip(found, again, strict=True):
            np.testing.assert_array_equal(a, b)


@pairs
def test_pairs_give_the_same_bits_for_some_queries_and_some_heads() -> None:
    """Whole heads are jobs where there are many, groups of queries where there are few."""
    tensors, g, _ = halves(300, 130, 32, True, "", batch=3, heads=4)
    whole = both(tensors, g, None, 0.2, True)
    few = both([t[1:2, :2] for t in tensors], g[1:2, :2], None, 0.2, True)
    for a, b in zip(few, whole, strict=True):
        np.testing.assert_array_equal(a, b[1:2, :2])
    rows = [tensors[0][:, :, 7:9], *tensors[1:]]
    alone = both(rows, g[:, :, 7:9], None, 0.2, False)[0]
    np.testing.assert_array_equal(alone, both(tensors, g, None, 0.2, False)[0][:, :, 7:9])


@pairs
def test_pairs_do_not_write_outside_of_the_outputs_or_read_behind_the_operands() -> None:
    given, g, _ = halves(19, 21, 16, False, "", batch=1, heads=2)
    tensors = []
    for t in (*given, g):
        wide = np.full((1, 2, t.shape[2] + 2, 16), np.nan, t.dtype)
        wide[:, :, :-2] = t
        tensors.append(wide[:, :, :-2])
    wide = [np.full((1, 2, length + 1, 16), 7.0, ml_dtypes.bfloat16) for length in (19, 19, 21, 21)]
    output, *grads = (w[:, :, :-1] for w in wide)
    logsumexp = np.empty((1, 2, 19), np.float32)
    forward = [*tensors[:3], output, logsumexp]
    run(attention_pairs.lower_forward(*map(layout_of, forward), scale=1.0, is_causal=False), forward)
    backward = [tensors[3], *tensors[:3], output, logsumexp, *grads]
    run(attention_pairs.lower_backward(*map(layout_of, backward), scale=1.0, is_causal=False), backward)
    assert_close([output, logsumexp, *grads], reference(*given, g, None, 1.0, False), GRADIENT_ROUNDING)
    for w in wide:
        assert (w[:, :, -1:] == 7.0).all()


@pairs
def test_pairs_where_a_query_is_nan() -> None:
    tensors, g, _ = halves(20, 20, 16, False, "", batch=1, heads=1)
    tensors[0][0, 0, 3] = np.nan
    output = both(tensors, g, None, 1.0, False)[0].astype(np.float32)
    assert np.isnan(output[0, 0, 3]).all() and np.isfinite(np.delete(output, 3, 2)).all()


@native
def test_nothing_is_written_outside_of_the_outputs() -> None:
    tensors, g, _ = operands(19, 21, 5, False, "", batch=1, heads=2)
    arrays = [*tensors]
    wide = [np.full((*t.shape[:3], 9), 7.0, np.float32) for t in (tensors[0], *tensors)]  # rows with room behind each
    output, *grads = (w[..., :5] for w in wide)
    logsumexp = np.empty((1, 2, 19), np.float32)
    run(attention.lower_forward(*map(layout_of, [*arrays, output, logsumexp]), scale=1.0, is_causal=False), [*arrays, output, logsumexp])
    backward = [g, *arrays, output, logsumexp, *grads]
    run(attention.lower_backward(*map(layout_of, backward), scale=1.0, is_causal=False), backward)
    assert_close([output, logsumexp, *grads], reference(*tensors, g, None, 1.0, False), 3e-6)
    for w in wide:
        assert (w[..., 5:] == 7.0).all()


@native
def test_the_order_of_chunks_does_not_change_a_bit() -> None:
    tensors, g, _ = operands(300, 290, 16, True, "")
    once, again = (both(tensors, g, None, 0.25, True, backwards) for backwards in (False, True))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b)


@native
def test_a_query_has_the_same_bits_alone_and_among_others() -> None:
    tensors, g, _ = operands(40, 90, 16, False, "", batch=1, heads=1)
    whole = both(tensors, g, None, 0.25, False)[0]
    rows = [np.ascontiguousarray(tensors[0][:, :, 7:9]), *tensors[1:]]
    np.testing.assert_array_equal(both(rows, np.ascontiguousarray(g[:, :, 7:9]), None, 0.25, False)[0], whole[:, :, 7:9])


@native
def test_nan_and_large_scores() -> None:
    tensors, g, _ = operands(20, 20, 16, False, "", batch=1, heads=1)
    tensors[0] *= 100
    found = both(tensors, g, None, 1.0, False)
    assert_close(found, reference(*tensors, g, None, 1.0, False), 3e-4)  # scores of a thousand have no more digits
    tensors[0][0, 0, 3] = np.nan
    output = both(tensors, g, None, 1.0, False)[0]
    assert np.isnan(output[0, 0, 3]).all() and np.isfinite(np.delete(output, 3, 2)).all()


@native
def test_kernels_depend_on_structure_only() -> None:
    def kernel(queries: int, strided: bool, scale: float, is_causal: bool) -> Any:
        tensors, _, _ = operands(queries, 50, 16, strided, "")
        layouts = [layout_of(t) for t in (*tensors, tensors[0], tensors[0][..., 0])]
        lowered = attention.lower_forward(*layouts, scale=scale, is_causal=is_causal)
        assert lowered is not None
        return lowered.calls[0].kernel

    assert kernel(20, False, 0.5, True) is kernel(300, True, 0.7, True)
    assert kernel(20, False, 0.5, True) != kernel(20, False, 0.5, False)


def test_what_has_no_native_form_is_refused() -> None:
    tensors, _, _ = operands(5, 5, 4, False, "")
    layouts = [layout_of(t) for t in (*tensors, tensors[0], tensors[0][..., 0])]
    double = [layout(each.shape, each.stride, dt.float64) for each in layouts]
    assert attention.lower_forward(*double, scale=1.0, is_causal=False) is None
    apart = layout_of(tensors[0].transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2))
    assert attention.lower_forward(apart, *layouts[1:], scale=1.0, is_causal=False) is None


@pytest.mark.parametrize("type", [np.float32, np.float64])
@pytest.mark.parametrize("mask", ["", "bool", "float"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_numpy_rules_agree_with_float64(is_causal: bool, mask: str, type: Any) -> None:
    for shape in ((1, 1, 16), (5, 7, 4), (33, 20, 3)):
        tensors, g, given = operands(*shape, True, mask)
        tensors, g = [t.astype(type) for t in tensors], g.astype(type)
        masks = [] if given is None else [given]
        with np.errstate(all="ignore"):
            output, logsumexp = FORWARD.numpy(*tensors, *masks, scale=0.3, is_causal=is_causal)
            grads = BACKWARD.numpy(g, *tensors, output, logsumexp, *masks, scale=0.3, is_causal=is_causal)
        assert output.dtype == type
        assert_close([output, logsumexp, *grads], reference(*tensors, g, given, 0.3, is_causal), 3e-6 if type == np.float32 else 1e-14)


# The public function


def inputs(*shape: int, dtype: Any = torch.float32, grad: bool = True) -> list[Any]:
    torch.manual_seed(0)
    return [torch.randn(*shape, dtype=dtype).requires_grad_(grad) for _ in range(3)]


MASK = torch.tensor([[0.3, -0.7, 1.3], [0.1, float("-inf"), 0.2], [0.0, 0.4, -0.9]], dtype=torch.float64)


@pytest.mark.parametrize("options", [{}, {"is_causal": True, "scale": 0.7}, {"attn_mask": MASK}, {"attn_mask": MASK > 0}], ids=["plain", "causal", "float mask", "bool mask"])
def test_gradients_and_their_gradients(options: dict[str, Any]) -> None:
    def attend(*tensors: Any) -> Any:
        return F.scaled_dot_product_attention(*tensors, **options)

    tensors = inputs(1, 2, 3, 4, dtype=torch.float64)
    assert attend(*tensors).grad_fn.name() == "ScaledDotProductFlashAttentionForCpuBackward0"
    assert gradcheck(attend, tensors)
    assert gradgradcheck(attend, tensors)


def test_the_composed_ops_give_the_same() -> None:
    tensors = inputs(2, 3, 40, 16)
    g = torch.randn(2, 3, 40, 16)
    output = F.scaled_dot_product_attention(*tensors, is_causal=True)
    grads = torch.autograd.grad(output, tensors, g)
    with sdpa_kernel(SDPBackend.MATH):
        composed = F.scaled_dot_product_attention(*tensors, is_causal=True)
    assert "FlashAttention" not in composed.grad_fn.name()
    torch.testing.assert_close(output, composed)
    torch.testing.assert_close(grads, torch.autograd.grad(composed, tensors, g))


def test_strides_and_node_are_pytorchs() -> None:
    flash = "ScaledDotProductFlashAttentionForCpuBackward0"
    query, key, value = inputs(2, 3, 5, 4)
    output = F.scaled_dot_product_attention(query, key, value)
    assert output.stride() == (60, 20, 4, 1) and output.grad_fn.name() == flash
    grads = torch.autograd.grad(output.sum(), (query, key, value))
    assert [g.stride() for g in grads] == [(60, 4, 12, 1)] * 3
    joint = torch.randn(2, 5, 36)
    query, key, value = (part.view(2, 5, 3, 4).transpose(1, 2) for part in joint.split(12, -1))
    assert F.scaled_dot_product_attention(query, key, value).stride() == (60, 4, 12, 1)
    query, key, value = (torch.randn(5, 2, 3, 4).permute(1, 2, 0, 3) for _ in range(3))
    assert F.scaled_dot_product_attention(query, key, value).stride() == (12, 4, 24, 1)
    unusual = inputs(3, 5, 4), [*inputs(2, 3, 5, 4)[:2], inputs(2, 3, 5, 6)[2]]
    for tensors in unusual:
        assert F.scaled_dot_product_attention(*tensors).grad_fn.name() != flash


def test_half_precision_computes_in_float32() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        tensors = inputs(1, 2, 9, 8, dtype=dtype)
        output = F.scaled_dot_product_attention(*tensors, is_causal=True)
        exact = F.scaled_dot_product_attention(*(t.detach().float() for t in tensors), is_causal=True)
        assert output.dtype is dtype
        assert torch.equal(output, exact.to(dtype)) or (output.float() - exact).abs().max() <= torch.finfo(dtype).eps
        output.sum().backward()
        assert all(t.grad.dtype is dtype for t in tensors)


def test_a_query_that_may_see_nothing_is_zero_with_zero_gradient() -> None:
    tensors = inputs(1, 1, 3, 4)
    for mask in (torch.tensor([[True, False, True], [False, False, False], [True, True, True]]), torch.full((3, 3), -math.inf)):
        output = F.scaled_dot_product_attention(*tensors, mask)
        assert torch.equal(output[0, 0, 1], torch.zeros(4))
        grad, *_ = torch.autograd.grad(output.sum(), tensors)
        assert torch.equal(grad[0, 0, 1], torch.zeros(4)) and torch.isfinite(grad).all()
