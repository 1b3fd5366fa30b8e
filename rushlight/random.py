"""The random engine: PyTorch's Mersenne twister, its seeds and its states.

A `Generator` yields the 32-bit words of MT19937 in bulk; `draws.py` turns words into distributions. Source:
https://docs.pytorch.org/docs/stable/random.html
"""

from __future__ import annotations

import contextlib
import operator
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import tape
from .devices import NO_CUDA, device
from .dtypes import uint8
from .engine import llvm
from .storage import TensorBase

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]

_BLOCK = 624  # words that MT19937 makes at a time
_DEFAULT_SEED = 67280421310721
#: Native code draws when so many numbers have been asked for: a first call has to load it.
NATIVE_FROM = 1 << 11
#: What a request of a few numbers counts for.
_REQUEST = 16
_asked = 0
#: So few numbers NumPy makes as quickly.
_FEW = 8
_FEW_WORDS = 256  # up to here random_raw is quicker than the others

# PyTorch's CPUGeneratorImplState as it lies in memory, 5056 bytes.
_STATE = np.dtype(
    {
        "names": ["seed", "left", "seeded", "next", "key", "normal", "normal_is_valid"],
        "formats": ["<u8", "<i4", "<i4", "<u8", ("<u8", _BLOCK), "<f8", "<i4"],
        "offsets": [0, 8, 12, 16, 24, 5024, 5040],
        "itemsize": 5056,
    }
)


class Generator:
    """A source of random numbers with a state of its own, for the ``generator=`` argument of every random function.

    Threads may share a generator: each draw holds its lock.

    >>> g = torch.Generator().manual_seed(0)
    >>> g.initial_seed()
    0
    """

    def __init__(self, device: device | str = "cpu") -> None:
        self.device = _cpu_device(device)
        self.lock = threading.RLock()
        self.normal_partner: float | None = None  # the second normal of the last Box-Muller pair
        self._bits = np.random.MT19937(0)
        self.address: int = self._bits.ctypes.state_address  # of the state, for native code
        self._stream = np.random.RandomState(self._bits)  # its stream is frozen by NumPy's compatibility policy
        self._reseed(_DEFAULT_SEED)

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {id(self):#x}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.state_bytes().tobytes(),)

    def manual_seed(self, seed: int) -> Generator:
        """Start the sequence that belongs to `seed`, an integer in [-2**63, 2**64).

        >>> torch.rand(1, generator=torch.Generator().manual_seed(0))
        tensor([0.4963])
        """
        if isinstance(seed, bool) or not hasattr(seed, "__index__"):
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
        value = operator.index(seed)
        if not -(2**63) <= value < 2**64:
            raise ValueError("Overflow when unpacking long long")
        tape.not_replayed("a random generator's state is read or set")
        tape.flush("generator")
        self._reseed(value % 2**64)
        return self

    def seed(self) -> int:
        """Seed from the operating system's entropy and return that seed.

        >>> torch.Generator().seed() >= 0
        True
        """
        tape.not_replayed("a random generator's state is read or set")
        tape.flush("generator")
        value = int.from_bytes(os.urandom(8), "little")
        self._reseed(value)
        return value

    def initial_seed(self) -> int:
        """The seed that the current sequence started from.

        >>> torch.Generator().manual_seed(3).initial_seed()
        3
        """
        return self._seed

    def get_state(self) -> Tensor:
        """The state as a ByteTensor of 5056 elements, laid out as PyTorch does.

        >>> torch.Generator().get_state().shape
        torch.Size([5056])
        """
        from .ops.card import tensor_of_array

        return tensor_of_array(self.state_bytes())

    def set_state(self, new_state: Tensor) -> Generator:
        """Return to a state that `get_state` gave, here or in PyTorch.

        >>> first, second = torch.Generator().manual_seed(3), torch.Generator()
        >>> _ = second.set_state(first.get_state())
        >>> torch.equal(torch.rand(2, generator=first), torch.rand(2, generator=second))
        True
        """
        from .ops.card import array_of

        if not isinstance(new_state, TensorBase):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        if new_state._layout.dtype is not uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        self.load_state_bytes(array_of(new_state))
        return self

    def clone_state(self) -> Generator:
        """A new generator that continues from here independently.

        >>> first = torch.Generator().manual_seed(3)
        >>> second = first.clone_state()
        >>> torch.equal(torch.rand(2, generator=first), torch.rand(2, generator=second))
        True
        """
        return _restore(self.state_bytes().tobytes())

    def get_offset(self) -> int:
        """Raises: only counter-based generators, on other devices, have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def set_offset(self, offset: int) -> None:
        """Raises: only counter-based generators, on other devices, have an offset."""
        raise RuntimeError("CPU Generator does not use offset")

    def words(self, count: int) -> np.ndarray:
        """The next `count` words as uint32. Hold `lock` across the words that make up one draw."""
        with self.lock:
            if count:
                self._untouched = False
            if count <= _FEW_WORDS:
                return self._bits.random_raw(count).astype(np.uint32)
            if is_native(count):
                return native().words(self.address, count)
            return self._stream.randint(0, 2**32, count, np.uint32)

    def drawn(self, draw: Callable[[int, int], np.ndarray], count: int) -> np.ndarray:
        """What native code draws: ``draw(address of the state, count)``."""
        with self.lock:
            if count:
                self._untouched = False
            return draw(self.address, count)

    def position(self) -> Any:
        """Where the word stream stands, for `rewind`."""
        return self._bits.state

    def rewind(self, position: Any, used: int) -> None:
        """Stand `used` words behind an earlier `position`."""
        self._bits.state = position
        self._bits.random_raw(used, output=False)

    def state_bytes(self) -> np.ndarray:
        """`get_state` as a NumPy array, after the draws that are pending."""
        tape.not_replayed("a random generator's state is read or set")
        tape.flush("generator")
        blob = np.zeros((), _STATE)
        with self.lock:
            state = self._bits.state["state"]
            # PyTorch counts the words left and the next one; its fresh engine has made no block yet.
            blob["next"] = 0 if self._untouched else state["pos"]
            blob["left"] = _BLOCK + 1 - state["pos"]
            blob["key"] = state["key"]
            blob["seed"], blob["seeded"] = self._seed, 1
            if self.normal_partner is not None:
                blob["normal"], blob["normal_is_valid"] = self.normal_partner, 1
        return np.frombuffer(blob.tobytes(), np.uint8).copy()

    def load_state_bytes(self, state: np.ndarray) -> None:
        """`set_state` from a NumPy array."""
        if state.size != _STATE.itemsize:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_STATE.itemsize} but found the input RNG state size to be {state.size}"
            )
        blob = np.frombuffer(state.tobytes(), _STATE)[0]
        left, following = int(blob["left"]), int(blob["next"])
        if not blob["seeded"] or not 0 < left <= _BLOCK or following > _BLOCK:
            raise RuntimeError("Invalid mt19937 state")
        tape.not_replayed("a random generator's state is read or set")
        tape.flush("generator")
        with self.lock:
            self._bits.state = {
                "bit_generator": "MT19937",
                "state": {"key": blob["key"].astype(np.uint32), "pos": _BLOCK + 1 - left},
            }
            self._seed = int(blob["seed"])
            self._untouched = following == 0
            self.normal_partner = float(blob["normal"]) if blob["normal_is_valid"] else None

    def _reseed(self, seed: int) -> None:
        with self.lock:
            # RandomState seeds with Knuth's multiplier as PyTorch does (init_genrand), from the low 32 bits.
            self._stream.seed(seed & 0xFFFFFFFF)
            self._seed = seed
            self._untouched = True
            self.normal_partner = None


def is_native(count: int) -> bool:
    """Whether native code makes so many numbers. Its bits are the same."""
    global _asked
    if _asked < NATIVE_FROM:
        _asked = max(count, _asked + _REQUEST)
        return count >= NATIVE_FROM and llvm.AVAILABLE
    return count > _FEW and llvm.AVAILABLE


def native() -> Any:
    from .engine import random_kernel

    return random_kernel


def _cpu_device(where: device | str) -> device:
    where = device(where)
    if where.type == "cuda":
        raise RuntimeError("Cannot get CUDA generator without ATen_cuda library.")
    if where.type != "cpu":
        raise RuntimeError(f"{where.type.upper()} device type not an accelerator.")
    return where


def _restore(state: bytes) -> Generator:
    generator = Generator()
    generator.load_state_bytes(np.frombuffer(state, np.uint8))
    return generator


default_generator = Generator()
default_generator.seed()


def manual_seed(seed: Any) -> Generator:
    """Seed the default generator and return it.

    >>> torch.manual_seed(0).initial_seed()
    0
    """
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Seed the default generator from entropy and return the seed.

    >>> torch.seed() == torch.initial_seed()
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator.

    >>> _ = torch.manual_seed(7)
    >>> torch.initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator as a ByteTensor.

    >>> torch.get_rng_state().shape
    torch.Size([5056])
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Return the default generator to a state that `get_rng_state` gave.

    >>> torch.set_rng_state(torch.get_rng_state())
    """
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Iterable[int] | None = None, enabled: bool = True, *, device_type: str | None = None
) -> Iterator[None]:
    """Restore the default generator's state at the end of the ``with`` block.

    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(1)
    """
    if not enabled or device_type == "meta":
        yield
        return
    if devices is not None and list(devices):
        raise AssertionError(NO_CUDA)
    state = default_generator.state_bytes()
    try:
        yield
    finally:
        default_generator.load_state_bytes(state)
