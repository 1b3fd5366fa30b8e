"""Tensors print as PyTorch 2.13 printed them: every expected text was recorded from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.printing import get_printoptions, printoptions

nan, inf = math.nan, math.inf
Make = Callable[[], Any]


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    with printoptions(profile="default"):
        yield


PRINTED: list[tuple[str, Make, str]] = [
    (
        "integers_share_a_width",
        lambda: torch.tensor([[1, -20], [300, 4]]),
        """\
tensor([[  1, -20],
        [300,   4]])""",
    ),
    (
        "bools",
        lambda: torch.tensor([True, False]),
        "tensor([ True, False])",
    ),
    (
        "small_integers_name_their_dtype",
        lambda: torch.tensor([1, 2], dtype=torch.uint8),
        "tensor([1, 2], dtype=torch.uint8)",
    ),
    (
        "whole_floats",
        lambda: torch.tensor([1.0, 20.0, -3.0]),
        "tensor([ 1., 20., -3.])",
    ),
    (
        "whole_floats_with_nonfinite",
        lambda: torch.tensor([1.0, nan, inf, -inf]),
        "tensor([1., nan, inf, -inf])",
    ),
    (
        "only_nonfinite",
        lambda: torch.tensor([nan, inf]),
        "tensor([nan, inf])",
    ),
    (
        "fractions",
        lambda: torch.tensor([0.3, -1.7, 12.5]),
        "tensor([ 0.3000, -1.7000, 12.5000])",
    ),
    (
        "fractions_with_nonfinite",
        lambda: torch.tensor([0.3, nan, -inf]),
        "tensor([0.3000,    nan,   -inf])",
    ),
    (
        "scientific_by_ratio",
        lambda: torch.tensor([0.5, 1500.3]),
        "tensor([5.0000e-01, 1.5003e+03])",
    ),
    (
        "not_scientific_at_the_ratio",
        lambda: torch.tensor([1.5, 1500.0]),
        "tensor([   1.5000, 1500.0000])",
    ),
    (
        "scientific_by_size",
        lambda: torch.tensor([1.5e8, 2.25e8]),
        "tensor([1.5000e+08, 2.2500e+08])",
    ),
    (
        "scientific_by_smallness",
        lambda: torch.tensor([0.00005, 0.00007]),
        "tensor([5.0000e-05, 7.0000e-05])",
    ),
    (
        "scientific_three_digit_exponent",
        lambda: torch.tensor([1e-120, 1e120], dtype=torch.float64),
        "tensor([1.0000e-120, 1.0000e+120], dtype=torch.float64)",
    ),
    (
        "zeros_do_not_count",
        lambda: torch.tensor([0.0, 0.3]),
        "tensor([0.0000, 0.3000])",
    ),
    (
        "negative_zero",
        lambda: torch.tensor([-0.0, 0.3]),
        "tensor([-0.0000, 0.3000])",
    ),
    (
        "all_zero",
        lambda: torch.zeros(2, 2),
        """\
tensor([[0., 0.],
        [0., 0.]])""",
    ),
    (
        "rounds_to_zero_with_sign",
        lambda: torch.tensor([-0.00011, 0.1]),
        "tensor([-0.0001,  0.1000])",
    ),
    (
        "zero_dim",
        lambda: torch.tensor(3.14159),
        "tensor(3.1416)",
    ),
    (
        "zero_dim_int",
        lambda: torch.tensor(7),
        "tensor(7)",
    ),
    (
        "zero_dim_bool",
        lambda: torch.tensor(True),
        "tensor(True)",
    ),
    (
        "zero_dim_double",
        lambda: torch.tensor(2.5, dtype=torch.float64),
        "tensor(2.5000, dtype=torch.float64)",
    ),
    (
        "zero_dim_complex",
        lambda: torch.tensor(1.5 - 2j),
        "tensor(1.5000-2.j)",
    ),
    (
        "half",
        lambda: torch.tensor([0.1, 1000.0], dtype=torch.float16),
        "tensor([9.9976e-02, 1.0000e+03], dtype=torch.float16)",
    ),
    (
        "bfloat16",
        lambda: torch.tensor([0.3, 0.7, 1.3], dtype=torch.bfloat16),
        "tensor([0.3008, 0.6992, 1.2969], dtype=torch.bfloat16)",
    ),
    (
        "float8",
        lambda: torch.tensor([0.3, 448.0]).to(torch.float8_e4m3fn),
        "tensor([3.1250e-01, 4.4800e+02], dtype=torch.float8_e4m3fn)",
    ),
    (
        "complex",
        lambda: torch.tensor([1 + 2j, -0.25 - 3j]),
        "tensor([ 1.0000+2.j, -0.2500-3.j])",
    ),
    (
        "complex_nonfinite",
        lambda: torch.tensor([complex(nan, 1.0), complex(1.0, inf)]),
        "tensor([nan+1.j, 1.+infj])",
    ),
    (
        "complex_double",
        lambda: torch.tensor([[1e-5 + 2j]], dtype=torch.complex128),
        "tensor([[1.0000e-05+2.j]], dtype=torch.complex128)",
    ),
    (
        "empty",
        lambda: torch.empty(0),
        "tensor([])",
    ),
    (
        "empty_matrix",
        lambda: torch.empty(2, 0, 3),
        "tensor([], size=(2, 0, 3))",
    ),
    (
        "empty_int",
        lambda: torch.empty(0, dtype=torch.int64),
        "tensor([], dtype=torch.int64)",
    ),
    (
        "wrapped",
        lambda: torch.arange(30),
        """\
tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,
        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])""",
    ),
    (
        "wrapped_floats",
        lambda: torch.arange(24) / 7,
        """\
tensor([0.0000, 0.1429, 0.2857, 0.4286, 0.5714, 0.7143, 0.8571, 1.0000, 1.1429,
        1.2857, 1.4286, 1.5714, 1.7143, 1.8571, 2.0000, 2.1429, 2.2857, 2.4286,
        2.5714, 2.7143, 2.8571, 3.0000, 3.1429, 3.2857])""",
    ),
    (
        "three_dims",
        lambda: torch.arange(8).reshape(2, 2, 2),
        """\
tensor([[[0, 1],
         [2, 3]],

        [[4, 5],
         [6, 7]]])""",
    ),
    (
        "four_dims",
        lambda: torch.arange(4.0).reshape(2, 1, 2, 1),
        """\
tensor([[[[0.],
          [1.]]],


        [[[2.],
          [3.]]]])""",
    ),
    (
        "summarised",
        lambda: torch.arange(2000),
        "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])",
    ),
    (
        "summarised_matrix",
        lambda: torch.arange(2500).reshape(50, 50),
        """\
tensor([[   0,    1,    2,  ...,   47,   48,   49],
        [  50,   51,   52,  ...,   97,   98,   99],
        [ 100,  101,  102,  ...,  147,  148,  149],
        ...,
        [2350, 2351, 2352,  ..., 2397, 2398, 2399],
        [2400, 2401, 2402,  ..., 2447, 2448, 2449],
        [2450, 2451, 2452,  ..., 2497, 2498, 2499]])""",
    ),
    (
        "summary_measures_only_what_it_shows",
        lambda: torch.where(torch.arange(1500) == 700, 1e12, 0.5),
        "tensor([0.5000, 0.5000, 0.5000,  ..., 0.5000, 0.5000, 0.5000])",
    ),
    (
        "summarised_one_axis",
        lambda: torch.arange(1200).reshape(2, 600),
        """\
tensor([[   0,    1,    2,  ...,  597,  598,  599],
        [ 600,  601,  602,  ..., 1197, 1198, 1199]])""",
    ),
    (
        "summarised_three_dims",
        lambda: torch.arange(3000).reshape(10, 15, 20),
        """\
tensor([[[   0,    1,    2,  ...,   17,   18,   19],
         [  20,   21,   22,  ...,   37,   38,   39],
         [  40,   41,   42,  ...,   57,   58,   59],
         ...,
         [ 240,  241,  242,  ...,  257,  258,  259],
         [ 260,  261,  262,  ...,  277,  278,  279],
         [ 280,  281,  282,  ...,  297,  298,  299]],

        [[ 300,  301,  302,  ...,  317,  318,  319],
         [ 320,  321,  322,  ...,  337,  338,  339],
         [ 340,  341,  342,  ...,  357,  358,  359],
         ...,
         [ 540,  541,  542,  ...,  557,  558,  559],
         [ 560,  561,  562,  ...,  577,  578,  579],
         [ 580,  581,  582,  ...,  597,  598,  599]],

        [[ 600,  601,  602,  ...,  617,  618,  619],
         [ 620,  621,  622,  ...,  637,  638,  639],
         [ 640,  641,  642,  ...,  657,  658,  659],
         ...,
         [ 840,  841,  842,  ...,  857,  858,  859],
         [ 860,  861,  862,  ...,  877,  878,  879],
         [ 880,  881,  882,  ...,  897,  898,  899]],

        ...,

        [[2100, 2101, 2102,  ..., 2117, 2118, 2119],
         [2120, 2121, 2122,  ..., 2137, 2138, 2139],
         [2140, 2141, 2142,  ..., 2157, 2158, 2159],
         ...,
         [2340, 2341, 2342,  ..., 2357, 2358, 2359],
         [2360, 2361, 2362,  ..., 2377, 2378, 2379],
         [2380, 2381, 2382,  ..., 2397, 2398, 2399]],

        [[2400, 2401, 2402,  ..., 2417, 2418, 2419],
         [2420, 2421, 2422,  ..., 2437, 2438, 2439],
         [2440, 2441, 2442,  ..., 2457, 2458, 2459],
         ...,
         [2640, 2641, 2642,  ..., 2657, 2658, 2659],
         [2660, 2661, 2662,  ..., 2677, 2678, 2679],
         [2680, 2681, 2682,  ..., 2697, 2698, 2699]],

        [[2700, 2701, 2702,  ..., 2717, 2718, 2719],
         [2720, 2721, 2722,  ..., 2737, 2738, 2739],
         [2740, 2741, 2742,  ..., 2757, 2758, 2759],
         ...,
         [2940, 2941, 2942,  ..., 2957, 2958, 2959],
         [2960, 2961, 2962,  ..., 2977, 2978, 2979],
         [2980, 2981, 2982,  ..., 2997, 2998, 2999]]])""",
    ),
    (
        "summarised_bools",
        lambda: torch.arange(1001) > 3,
        "tensor([False, False, False,  ...,  True,  True,  True])",
    ),
    (
        "noncontiguous",
        lambda: torch.arange(6).reshape(2, 3).t(),
        """\
tensor([[0, 3],
        [1, 4],
        [2, 5]])""",
    ),
    (
        "expanded",
        lambda: torch.tensor([1.5]).expand(2, 3),
        """\
tensor([[1.5000, 1.5000, 1.5000],
        [1.5000, 1.5000, 1.5000]])""",
    ),
    (
        "requires_grad",
        lambda: torch.tensor([1.0], requires_grad=True),
        "tensor([1.], requires_grad=True)",
    ),
    (
        "grad_fn",
        lambda: torch.ones(2, requires_grad=True) * 2,
        "tensor([2., 2.], grad_fn=<MulBackward0>)",
    ),
    (
        "dtype_and_requires_grad",
        lambda: torch.tensor([1.0], dtype=torch.float64, requires_grad=True),
        "tensor([1.], dtype=torch.float64, requires_grad=True)",
    ),
    (
        "suffix_wraps",
        lambda: torch.full((6,), 0.123456, dtype=torch.float64, requires_grad=True),
        """\
tensor([0.1235, 0.1235, 0.1235, 0.1235, 0.1235, 0.1235], dtype=torch.float64,
       requires_grad=True)""",
    ),
    (
        "suffix_fits_exactly",
        lambda: torch.full((7,), 100.5, dtype=torch.float64),
        """\
tensor([100.5000, 100.5000, 100.5000, 100.5000, 100.5000, 100.5000, 100.5000],
       dtype=torch.float64)""",
    ),
    (
        "meta",
        lambda: torch.empty(2, 3, device="meta"),
        "tensor(..., device='meta', size=(2, 3))",
    ),
    (
        "meta_int",
        lambda: torch.empty(2, 3, device="meta", dtype=torch.int8),
        "tensor(..., device='meta', size=(2, 3), dtype=torch.int8)",
    ),
    (
        "meta_requires_grad",
        lambda: torch.empty(2, device="meta", requires_grad=True),
        "tensor(..., device='meta', size=(2,), requires_grad=True)",
    ),
    (
        "parameter",
        lambda: nn.Parameter(torch.tensor([0.5, 1.5])),
        """\
Parameter containing:
tensor([0.5000, 1.5000], requires_grad=True)""",
    ),
]


@pytest.mark.parametrize(("make", "expected"), [case[1:] for case in PRINTED], ids=[case[0] for case in PRINTED])
def test_repr_and_str_are_pytorchs(make: Make, expected: str) -> None:
    tensor = make()
    assert repr(tensor) == expected
    assert str(tensor) == expected


WITH_OPTIONS: list[tuple[dict[str, Any], Make, str]] = [
    (
        {"precision": 2},
        lambda: torch.tensor([1.23456, 2.0]),
        "tensor([1.23, 2.00])",
    ),
    (
        {"precision": 0},
        lambda: torch.tensor([1.5, 2.5, -0.25]),
        "tensor([ 2,  2, -0])",
    ),
    (
        {"sci_mode": True},
        lambda: torch.tensor([1.5, 100.0]),
        "tensor([1.5000e+00, 1.0000e+02])",
    ),
    (
        {"sci_mode": True},
        lambda: torch.tensor([1.0, nan, 0.0]),
        "tensor([1.0000e+00,        nan, 0.0000e+00])",
    ),
    (
        {"sci_mode": False},
        lambda: torch.tensor([1e-7, 1e9]),
        "tensor([         0.0000, 1000000000.0000])",
    ),
    (
        {"sci_mode": False, "precision": 8},
        lambda: torch.tensor([1e-7, 0.5]),
        "tensor([0.00000010, 0.50000000])",
    ),
    (
        {"linewidth": 30},
        lambda: torch.arange(20),
        """\
tensor([ 0,  1,  2,  3,  4,
         5,  6,  7,  8,  9,
        10, 11, 12, 13, 14,
        15, 16, 17, 18, 19])""",
    ),
    (
        {"linewidth": 20},
        lambda: torch.tensor([0.5], dtype=torch.float64, requires_grad=True),
        """\
tensor([0.5000],
       dtype=torch.float64,
       requires_grad=True)""",
    ),
    (
        {"threshold": 5},
        lambda: torch.arange(10),
        "tensor([0, 1, 2,  ..., 7, 8, 9])",
    ),
    (
        {"threshold": 5, "edgeitems": 1},
        lambda: torch.arange(12).reshape(3, 4) * 0.5,
        """\
tensor([[0.0000,  ..., 1.5000],
        ...,
        [4.0000,  ..., 5.5000]])""",
    ),
    (
        {"threshold": 0, "edgeitems": 0},
        lambda: torch.arange(4),
        "tensor([...], size=(4,))",
    ),
    (
        {"threshold": 0, "edgeitems": 0},
        lambda: torch.arange(4).reshape(2, 2),
        "tensor([...], size=(2, 2))",
    ),
    (
        {"profile": "short"},
        lambda: torch.linspace(0, 1, 1200),
        "tensor([0.00e+00, 8.34e-04,  ..., 9.99e-01, 1.00e+00])",
    ),
    (
        {"profile": "short", "precision": 3},
        lambda: torch.tensor([0.123456]),
        "tensor([0.123])",
    ),
]


@pytest.mark.parametrize(("options", "make", "expected"), WITH_OPTIONS)
def test_print_options_change_the_text(options: dict[str, Any], make: Make, expected: str) -> None:
    with printoptions(**options):
        assert repr(make()) == expected


FORMATTED: list[tuple[Make, str, str]] = [
    (lambda: torch.tensor(3.14159), ".2f", "3.14"),
    (lambda: torch.tensor(7), "05d", "00007"),
    (lambda: torch.tensor(2.5, requires_grad=True), ">8.1f", "     2.5"),
    (lambda: torch.tensor(True), "", "True"),
    (lambda: torch.tensor(1 + 2j), ".1f", "1.0+2.0j"),
    (lambda: torch.tensor([1.0, 2.0]), "", "tensor([1., 2.])"),
]


@pytest.mark.parametrize(("make", "spec", "expected"), FORMATTED)
def test_a_tensor_without_dims_formats_as_its_number(make: Make, spec: str, expected: str) -> None:
    assert format(make(), spec) == expected


def test_a_tensor_with_dims_refuses_a_format_spec() -> None:
    with pytest.raises(TypeError, match="unsupported format string passed to Tensor.__format__"):
        format(torch.ones(2), ".2f")


def test_set_printoptions_keeps_what_is_not_given_but_resets_sci_mode() -> None:
    torch.set_printoptions(precision=2, sci_mode=True)
    torch.set_printoptions(edgeitems=5)
    assert get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 5,
        "linewidth": 80,
        "sci_mode": None,
    }


def test_printoptions_restores_after_an_exception() -> None:
    before = get_printoptions()
    with pytest.raises(KeyError), printoptions(precision=1, sci_mode=False):
        assert get_printoptions()["precision"] == 1
        raise KeyError
    assert get_printoptions() == before


def test_default_dtype_decides_which_dtype_is_named() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert repr(torch.tensor([0.5])) == "tensor([0.5000])"
        assert repr(torch.tensor([0.5], dtype=torch.float32)) == "tensor([0.5000], dtype=torch.float32)"
        assert repr(torch.tensor([1j], dtype=torch.complex64)) == "tensor([0.+1.j], dtype=torch.complex64)"
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_subclass_prints_under_its_own_name() -> None:
    class Labelled(torch.Tensor):
        pass

    assert repr(torch.arange(40).as_subclass(Labelled)).splitlines()[1].startswith(" " * len("Labelled(["))
