"""The random numbers: every distribution against draws recorded from PyTorch 2.13, and the generator's states."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rushlight import draws
from rushlight.dtypes import BY_NAME
from rushlight.engine import categories, llvm
from rushlight.random import Generator, default_generator, fork_rng, initial_seed, manual_seed, seed

PROGRAMS = json.loads((Path(__file__).parent / "data" / "random_draws.json").read_text())["programs"]


def argument(value: Any) -> Any:
    return np.array(value["values"], BY_NAME[value["dtype"]].numpy) if isinstance(value, dict) else value


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"seed{p['seed']}" for p in PROGRAMS])
def test_draws_are_those_of_pytorch(program: dict[str, Any]) -> None:
    """Draws of all kinds, interleaved, have PyTorch's values and leave the engine where PyTorch's stands."""
    generator = Generator().manual_seed(program["seed"])
    for call in program["calls"]:
        found = getattr(draws, call["draw"])(generator, **{k: argument(v) for k, v in call["args"].items()})
        what = f"{call['draw']}({call['args']})"
        if "sha256" in call:
            assert hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest() == call["sha256"], what
        else:
            want = np.array(call["values"], np.float64 if found.dtype.kind not in "iub" else found.dtype)
            # Doubles may differ in the last bits where the C library does.
            tolerance = 1e-13 if found.dtype == np.float64 else 0
            np.testing.assert_allclose(found.astype(want.dtype).ravel(), want.ravel(), rtol=tolerance, err_msg=what)
    blob = generator.state_bytes()
    assert int(blob[8:12].view("<i4")[0]) == program["left"]
    assert int(blob[16:24].view("<u8")[0]) == program["next"]
    assert hashlib.sha256(blob[24:5016].tobytes()).hexdigest() == program["key"]
    partner = program["partner"]
    assert generator.normal_partner == (partner if partner is None else pytest.approx(partner, rel=1e-13))


def test_state_has_pytorch_layout() -> None:
    """A fresh engine's blob: the seed, one word left, seeded, nothing drawn, the initial key; 5056 bytes."""
    blob = Generator().manual_seed(2**40 + 5).state_bytes()
    assert blob.nbytes == 5056
    assert blob[:24].tolist() == [5, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0] + [0] * 8
    assert blob[24:40].view("<u8").tolist() == [5, 1812433253 * 5 + 1 & 0xFFFFFFFF]
    assert not blob[5016:].any()


@pytest.mark.parametrize("used", [0, 1, 623, 624, 625, 5000])
def test_state_restores_the_stream(used: int) -> None:
    """A state taken anywhere, the ends of a block included, gives back the same words and the same state."""
    generator = Generator().manual_seed(11)
    generator.words(used)
    blob = generator.state_bytes()
    want = generator.words(700)
    other = Generator()
    other.load_state_bytes(blob)
    np.testing.assert_array_equal(other.state_bytes(), blob)
    np.testing.assert_array_equal(other.words(700), want)


def test_state_keeps_the_normal_partner() -> None:
    """The second normal of a pair survives in the state, and seeding forgets it."""
    generator = Generator().manual_seed(3)
    draws.normal(generator, 1, "float32")
    blob = generator.state_bytes()
    partner = draws.normal(generator, 1, "float64")
    generator.load_state_bytes(blob)
    np.testing.assert_array_equal(draws.normal(generator, 1, "float64"), partner)
    draws.normal(generator, 1, "float32")
    assert generator.normal_partner is not None
    assert generator.manual_seed(3).normal_partner is None


def test_state_errors() -> None:
    """A blob of another size, or of impossible counts, is refused with PyTorch's messages."""
    generator = Generator()
    with pytest.raises(RuntimeError, match="^Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be 3$"):
        generator.load_state_bytes(np.zeros(3, np.uint8))
    with pytest.raises(RuntimeError, match="^Invalid mt19937 state$"):
        generator.load_state_bytes(np.zeros(5056, np.uint8))


@pytest.mark.parametrize(("given", "kept"), [(-1, 2**64 - 1), (2**64 - 1, 2**64 - 1), (-(2**63), 2**63), (7, 7)])
def test_seeds_wrap_to_64_bits(given: int, kept: int) -> None:
    """Negative seeds are taken modulo 2**64."""
    assert Generator().manual_seed(given).initial_seed() == kept


def test_seed_errors() -> None:
    """Seeds out of range or of another type raise as in PyTorch; the module's function converts first."""
    for bad in (2**64, -(2**63) - 1):
        with pytest.raises(ValueError, match="^Overflow when unpacking long long$"):
            Generator().manual_seed(bad)
    with pytest.raises(RuntimeError, match="^manual_seed expected a long, but got float$"):
        Generator().manual_seed(1.5)  # type: ignore[arg-type]
    state = default_generator.state_bytes()
    assert manual_seed(1.5).initial_seed() == initial_seed() == 1
    default_generator.load_state_bytes(state)


def test_generator_basics() -> None:
    """The default seed, the device, and entropy seeds that differ."""
    generator = Generator()
    assert generator.initial_seed() == 67280421310721
    assert str(generator.device) == "cpu"
    assert generator.seed() != generator.seed()
    with pytest.raises(RuntimeError, match="META device type not an accelerator"):
        Generator("meta")
    with pytest.raises(RuntimeError, match="CPU Generator does not use offset"):
        generator.get_offset()


def test_copies_continue_independently() -> None:
    """clone_state, deepcopy and pickle give generators that go on alike and do not touch the original."""
    generator = Generator().manual_seed(5)
    draws.normal(generator, 3, "float32")
    copies = [generator.clone_state(), copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))]
    want = draws.normal(generator, 5, "float64")
    for twin in copies:
        np.testing.assert_array_equal(draws.normal(twin, 5, "float64"), want)


def test_fork_rng_restores_the_default_generator() -> None:
    """After the block the default generator goes on as if nothing had been drawn, unless disabled."""
    manual_seed(9)
    want = default_generator.clone_state().words(4)
    with fork_rng():
        seed()
    np.testing.assert_array_equal(default_generator.clone_state().words(4), want)
    with fork_rng(enabled=False):
        default_generator.words(1)
    assert (default_generator.words(4) != want).any()


def test_threads_share_a_generator_without_losing_words() -> None:
    """Draws from many threads take whole, disjoint stretches of one stream."""
    generator = Generator().manual_seed(1)
    pieces: list[np.ndarray] = []

    def work() -> None:
        for _ in range(50):
            pieces.append(draws.random_full(generator, 97, "int64"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stream = draws.random_full(Generator().manual_seed(1), 4 * 50 * 97, "int64").reshape(-1, 97)
    assert {p.tobytes() for p in pieces} == {row.tobytes() for row in stream}


def test_rejection_samplers_give_back_unused_words() -> None:
    """A sampler that draws ahead leaves the engine right behind the last uniform that it used."""
    generator = Generator().manual_seed(2)
    draws.poisson(generator, np.zeros(5, np.float32))
    np.testing.assert_array_equal(generator.words(3), Generator().manual_seed(2).words(3))


def test_uniform_excludes_the_upper_bound_in_half_precision() -> None:
    """Where rounding reaches `high`, PyTorch returns `low` instead."""
    values = draws.uniform(Generator().manual_seed(0), 20000, "bfloat16", 1.0, 2.0)
    assert values.max() < 2.0
    assert values.min() == 1.0


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000, 70000])
def test_randperm_is_fisher_and_yates(n: int) -> None:
    """The permutation equals the textbook loop over the same words."""
    words = Generator().manual_seed(n).words(max(n - 1, 0)).tolist()
    order = list(range(n))
    for i, word in enumerate(words):
        j = i + word % (n - i)
        order[i], order[j] = order[j], order[i]
    np.testing.assert_array_equal(draws.randperm(Generator().manual_seed(n), n), order)


def test_values_are_checked() -> None:
    """Probabilities and rates that make no sense raise PyTorch's errors."""
    generator = Generator()
    ones = np.ones(3, np.float32)
    with pytest.raises(RuntimeError, match="Expected p_in >= 0 && p_in <= 1 to be true"):
        draws.bernoulli_each(generator, 2 * ones, "float32")
    with pytest.raises(RuntimeError, match="invalid Poisson rate, expected rate to be non-negative"):
        draws.poisson(generator, -ones)
    for row, replacement, message in (
        (-ones, False, "probability tensor contains either `inf`, `nan` or element < 0"),
        (-ones, True, "encountering probability entry < 0"),
        (np.inf * ones, True, "encountering probability entry = infinity or NaN"),
        (0 * ones, True, "sum of probabilities <= 0"),
        (0 * ones, False, "sum of probabilities <= 0"),
    ):
        with pytest.raises(RuntimeError, match=message):
            draws.multinomial(generator, row[None], 2, replacement)


@pytest.mark.skipif(not llvm.AVAILABLE, reason="needs llvmlite")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_categories_drawn_natively_are_those_that_numpy_draws(dtype, monkeypatch):
    """Of few and of many weights, zeros among them, in rows and alone; without native code the steps are PyTorch's one by one."""
    found = []
    for _ in range(2):
        generator = Generator().manual_seed(3)
        for shape in ((1, 5000), (40, 200), (3, 3001), (60, 70)):
            weights = np.random.default_rng(1).random(shape).astype(dtype)
            weights[:, ::3] = 0
            found.append([draws.multinomial(generator, weights, count, True) for count in (2, 30)])
        monkeypatch.setattr(categories, "_NATIVE_FROM", 1 << 40)
    for native, plain in zip(found[:4], found[4:], strict=True):
        for one, other in zip(native, plain, strict=True):
            np.testing.assert_array_equal(one, other)
