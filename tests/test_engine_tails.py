"""Groups that follow a product or a convolution element by element run in its jobs: the same bits, and where that is not right, no tail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import rushlight as torch
import rushlight.nn.functional as F
from rushlight import config, tape
from rushlight.engine import conv_gather, depthwise, gemm, llvm, verify
from rushlight.engine.kernel import Call, Pointer
from rushlight.engine.pipeline import Draft
from rushlight.engine.trace import Trace

pytestmark = [pytest.mark.skipif(not llvm.AVAILABLE, reason="tails are native code"), pytest.mark.usefixtures("compiled_at_first_sight")]


@pytest.fixture(autouse=True)
def _small_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products and convolutions have several jobs, with a few rows and columns each."""
    monkeypatch.setattr(gemm, "_CHUNK_WORK", 1 << 10)
    monkeypatch.setattr(gemm, "_TAILED_COLUMNS", 1)
    monkeypatch.setattr(conv_gather, "CHUNK_WORK", 1 << 10)
    monkeypatch.setattr(depthwise, "_CHUNK_WORK", 1 << 10)


@pytest.fixture
def drafts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Trace, Draft]]]:
    """What was compiled, each also checked."""
    found: list[tuple[Trace, Draft]] = []
    check = verify.segment

    def segment(trace: Trace, draft: Draft) -> None:
        found.append((trace, draft))
        check(trace, draft)

    monkeypatch.setattr(config, "VERIFY", True)
    monkeypatch.setattr(verify, "segment", segment)
    yield found


def tails(drafts: list[tuple[Trace, Draft]]) -> list[Call]:
    return [call for _, draft in drafts for _, call in draft.calls if call.tail is not None]


def results(make: Callable[[], Any]) -> list[bytes]:
    found = make()
    return [t.detach().contiguous().view(torch.uint8).numpy().tobytes() for t in (found if isinstance(found, tuple) else (found,))]


def compare(make: Callable[[], Any]) -> None:
    """The same bits entry by entry, compiled, with one thread and with two."""
    tape.state.compile = False
    expected = results(make)
    tape.state.compile = True
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert results(make) == expected


@cache
def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers that are in memory before they are asked for again."""
    found = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)
    tape.flush()
    return found


def gated(x: torch.Tensor) -> torch.Tensor:
    return F.silu(F.linear(x, numbers(83, 50), numbers(83))) * F.linear(x, numbers(83, 50))


def in_place(x: torch.Tensor) -> torch.Tensor:
    return F.relu_(F.linear(x, numbers(83, 50)))


def kept_as_well(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    y = F.linear(x, numbers(83, 50))
    return y, y.tanh()


def gradient(x: torch.Tensor) -> torch.Tensor | None:
    x = x.clone().requires_grad_()
    F.linear(F.relu(x), numbers(83, 50)).square().sum().backward()
    return x.grad


PRODUCTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "activation": lambda x: F.relu(F.linear(x, numbers(83, 50), numbers(83))),
    "gelu and a residual": lambda x: F.gelu(F.linear(x, numbers(83, 50), numbers(83))) + numbers(61, 83),
    "rows and columns of their own": lambda x: (x @ numbers(50, 83)) * numbers(83) + numbers(61, 1),
    "a number": lambda x: (x @ numbers(50, 83)) * 0.7 - 1.3,
    "a cast": lambda x: torch.addmm(numbers(83), x, numbers(50, 83)).bfloat16(),
    "a comparison": lambda x: torch.mm(x, numbers(50, 83)) > 0.3,
    "two products": gated,
    "in place": in_place,
    "kept as well": kept_as_well,
    "half precision": lambda x: F.gelu(F.linear(x.bfloat16(), numbers(83, 50).bfloat16())),
    "float64": lambda x: (x.double() @ numbers(50, 83, dtype=torch.float64)).sin(),
    "several blocks of k": lambda x: F.relu(numbers(61, 1100) @ numbers(1100, 83)),
    "rows of three dims": lambda x: F.silu(F.linear(numbers(3, 61, 50), numbers(83, 50))) * numbers(3, 61, 83),
    "matrices": lambda x: F.relu(numbers(5, 61, 50) @ numbers(5, 50, 83) + numbers(5, 1, 83)),
    "a transposed operand": lambda x: (x @ numbers(50, 83)) + numbers(83, 61).t(),
    "a gradient": gradient,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_follows_a_product_has_the_same_bits_in_its_jobs(name: str, drafts: list[tuple[Trace, Draft]]) -> None:
    x = numbers(61, 50)
    compare(lambda: PRODUCTS[name](x))
    assert any(call.kernel.name == "product" and call.chunks > 1 for call in tails(drafts))


#: Samples, channels, the image, the window, stride, groups.
CONVOLUTIONS = {
    "planes": (3, 8, 40, (11, 13), 3, 1, 1),
    "one sample in lines": (1, 16, 32, (40, 24), 3, 1, 1),
    "strided": (2, 8, 24, (17, 19), 3, 2, 1),
    "single places": (2, 40, 72, (6, 7), 1, 1, 1),
    "large weights": (2, 96, 96, (7, 7), 3, 1, 1),
    "groups": (2, 16, 48, (9, 9), 3, 1, 3),
    "few channels": (4, 3, 5, (20, 21), 5, 1, 1),
    "channels of their own": (3, 1, 19, (20, 21), 3, 1, 19),
    "strided channels of their own": (3, 1, 19, (20, 21), 3, 2, 19),
}


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_what_follows_a_convolution_has_the_same_bits_in_its_jobs(name: str, channels_last: bool, drafts: list[tuple[Trace, Draft]]) -> None:
    samples, channels, columns, image, window, stride, groups = CONVOLUTIONS[name]
    format = torch.channels_last if channels_last else torch.contiguous_format
    x = numbers(samples, channels * groups, *image).to(memory_format=format)
    weight = numbers(columns, channels, window, window).to(memory_format=format)
    bias, mean, shift, variance = numbers(columns), numbers(columns, 1)[:, 0], numbers(1, columns)[0], numbers(columns).square() + 0.3

    def made() -> torch.Tensor:
        return F.conv2d(x, weight, bias, stride=stride, padding=window // 2, groups=groups)

    residual = torch.randn_like(made())

    def gradient() -> torch.Tensor | None:
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        (F.conv2d(F.relu(leaf), weight, stride=stride, padding=window // 2, groups=groups) * residual).sum().backward()
        return leaf.grad

    compare(lambda: F.relu(F.batch_norm(made(), mean, variance, bias, shift, False) + residual))
    compare(lambda: F.silu(made()))
    before = len(tails(drafts))
    assert before and all(call.kernel.name in ("gather", "depthwise") for call in tails(drafts))
    compare(gradient)
    assert channels_last or len(tails(drafts)) > before


def test_what_follows_a_convolution_in_half_precision(drafts: list[tuple[Trace, Draft]]) -> None:
    x, weight, residual = numbers(2, 9, 11, 13, dtype=torch.bfloat16), numbers(24, 9, 3, 3, dtype=torch.bfloat16), numbers(2, 24, 11, 13)
    compare(lambda: F.gelu(F.conv2d(x, weight, padding=1)) + residual)
    compare(lambda: F.relu(F.conv2d(x, weight, padding=1)))
    assert tails(drafts)


def test_a_result_that_only_its_tail_reads_takes_no_memory(drafts: list[tuple[Trace, Draft]]) -> None:
    x, w, r = numbers(61, 50), numbers(83, 50), numbers(61, 83)
    drafts.clear()
    (F.relu(F.linear(x, w)) + r).numpy()
    ((trace, draft),) = [(trace, draft) for trace, draft in drafts if any(call.tail for _, call in draft.calls)]
    regions = {pointer.operand for _, call in draft.calls for pointer in call.pointers()}
    assert [trace.steps[0].outputs[0] in regions, trace.steps[1].outputs[0] in regions, trace.steps[2].outputs[0] in regions] == [False, False, True]
    # Results of other elements have no room for it.
    (F.linear(x, w) > 0.3).numpy()
    trace, draft = drafts[-1]
    regions = {pointer.operand for _, call in draft.calls for pointer in call.pointers()}
    assert trace.steps[0].outputs[0] in regions


def written_between(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    y = x @ w
    return y * (x * 0.3).cumsum(0)


def read_between(x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    r = x.clone()
    y = x @ w
    sums = r.cumsum(0)
    r.mul_(y)
    return r, sums


def read_before(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.add_((y @ w) * 0.3)
    return y


def part_of_itself(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    y = x[:50] @ w
    return y + y.t()


WITHOUT: dict[str, Callable[[torch.Tensor, torch.Tensor], Any]] = {
    "a factor that is made in between": written_between,
    "what is overwritten is read in between": read_between,
    "what the product reads is overwritten": read_before,
    "the result is read transposed": part_of_itself,
    "a sum over rows of the result": lambda x, w: F.softmax(x @ w, -1),
    "a sum over its columns": lambda x, w: (x @ w).sum(0),
    "a part of the result": lambda x, w: (x @ w)[:, 1:] * 0.7,
    "the result transposed": lambda x, w: F.relu((x @ w).t() * numbers(61)),
    "rows of a result that repeat those of an operand": lambda x, w: F.linear(numbers(3, 61, 50), w) * x,
    "several of the result": lambda x, w: (x @ w) * numbers(2, 1, 1),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_what_is_not_element_by_element_or_must_wait_is_no_tail(name: str, drafts: list[tuple[Trace, Draft]]) -> None:
    x, w = numbers(61, 50), numbers(61, 50)[:50]
    compare(lambda: WITHOUT[name](x, w))
    assert not tails(drafts)


def test_results_too_large_for_a_cache_or_of_one_job_have_no_tail(monkeypatch: pytest.MonkeyPatch, drafts: list[tuple[Trace, Draft]]) -> None:
    x, w = numbers(59, 50), numbers(50, 81)
    monkeypatch.setattr(gemm, "_TAILED_BYTES", 59 * 81 * 4 - 1)
    compare(lambda: F.relu(x @ w))
    monkeypatch.undo()
    config.VERIFY = True
    compare(lambda: F.relu(x[:9] @ w))
    assert not tails(drafts)


def test_a_wrong_tail_is_caught(drafts: list[tuple[Trace, Draft]]) -> None:
    x, w, b = numbers(61, 50), numbers(83, 50), numbers(83)
    F.relu(F.linear(x, w) * b).numpy()
    ((trace, draft),) = [(trace, draft) for trace, draft in drafts if any(call.tail for _, call in draft.calls)]
    verify.segment(trace, draft)

    def changed(change: Callable[[Call], Call]) -> Draft:
        return draft._replace(calls=[(n, change(call) if call.tail else call) for n, call in draft.calls])

    def with_words(call: Call, change: Callable[[list[Any]], object]) -> Call:
        assert call.tail is not None
        words = list(call.tail.words)
        change(words)
        return call.with_tail(replace(call.tail, words=tuple(words)))

    assert drafts[-1][1].calls[-1][1].tail is not None
    result = drafts[-1][1].calls[-1][1].result
    assert result is not None
    fewer = changed(lambda call: with_words(call, lambda words: words.__setitem__(slice(2, 4), (60, 83))))
    with pytest.raises(AssertionError, match="a tail is over the result of its call"):
        verify.segment(trace, fewer)
    elsewhere = changed(lambda call: replace(call, result=result._replace(pointer=Pointer(0))))
    with pytest.raises(AssertionError, match="a tail"):
        verify.segment(trace, elsewhere)
    apart = changed(lambda call: replace(call, result=result._replace(strides=(0, 84, 1))))
    with pytest.raises(AssertionError, match="a tail touches its call's result just where it is made"):
        verify.segment(trace, apart)
    # A tail that writes what the product still reads.
    inputs = [word for word in draft.calls[-1][1].words if isinstance(word, Pointer) and word.operand != result.pointer.operand]
    over = changed(lambda call: call.with_tail(call.tail.renamed(lambda p: p if p != result.pointer else inputs[0])) if call.tail else call)
    with pytest.raises(AssertionError):
        verify.segment(trace, over)


def test_a_tail_is_shown_and_timed_with_its_call() -> None:
    x, w = numbers(61, 50), numbers(83, 50)
    text = torch.explain(lambda: F.relu(F.linear(x, w)) * 0.7)
    assert "unit 0, calls with a tail: 0 linear, 1 relu, 2 mul; writes %4; fused away %2, %3" in text
    assert "and tail_maximum_mul: 1 x 61 rows of 83" in text
    assert "product and tail_maximum_mul" in text
