"""Batches of sequences of different lengths: padded, and packed without the padding."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple, Self

from ... import ops
from ...dtypes import dtype as DType, float16, float32, float64, int8, int16, int32, int64, uint8
from ...graph import exported_whole, grad_state
from ...tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _PackedSequenceFields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_PackedSequenceFields):
    """Sequences without padding, as the recurrent modules take them: first every sequence's first step, longest sequence
    first, then every second step, ...; ``batch_sizes[t]`` sequences have a step ``t``.

    Made by :func:`pack_padded_sequence` and :func:`pack_sequence`, not by hand.

    >>> nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])])
    PackedSequence(data=tensor([1, 3, 2]), batch_sizes=tensor([2, 1]), sorted_indices=None, unsorted_indices=None)
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError(
                "batch_sizes should always be on CPU. Instances of PackedSequence should never be created manually. "
                "They should be instantiated by functions like pack_sequence and pack_padded_sequences in "
                "nn.utils.rnn. https://pytorch.org/docs/stable/nn.html#torch.nn.utils.rnn.pack_sequence"
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Convert the data as :meth:`Tensor.to` does; itself if nothing changes.

        >>> packed = nn.utils.rnn.pack_sequence([torch.ones(2)])
        >>> packed.to(torch.float64).data.dtype
        torch.float64
        """
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = [index if index is None else index.to(data.device) for index in self[2:]]
        return type(self)(data, self.batch_sizes, *indices)

    def cpu(self) -> Self:
        """Move the data to the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move the data to a CUDA device; raises as tensors do where there is none."""
        return self.to("cuda" if device is None else device)

    def pin_memory(self) -> Self:
        """Move the tensors to page-locked memory."""
        data, batch_sizes, *indices = self
        return type(self)(
            data.pin_memory(), batch_sizes, *[index if index is None else index.pin_memory() for index in indices]
        )

    def double(self) -> Self:
        """Cast the data to float64."""
        return self._cast(float64)

    def float(self) -> Self:
        """Cast the data to float32."""
        return self._cast(float32)

    def half(self) -> Self:
        """Cast the data to float16."""
        return self._cast(float16)

    def long(self) -> Self:
        """Cast the data to int64."""
        return self._cast(int64)

    def int(self) -> Self:
        """Cast the data to int32."""
        return self._cast(int32)

    def short(self) -> Self:
        """Cast the data to int16."""
        return self._cast(int16)

    def char(self) -> Self:
        """Cast the data to int8."""
        return self._cast(int8)

    def byte(self) -> Self:
        """Cast the data to uint8."""
        return self._cast(uint8)

    def _cast(self, dtype: DType) -> Self:
        return self.to(dtype=dtype)

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one.

    >>> nn.utils.rnn.invert_permutation(torch.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    positions = ops.arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype)
    return ops.zeros_like(permutation).scatter_(0, permutation, positions)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack padded sequences of shape (T, B, *), or (B, T, *) if ``batch_first``, given their lengths.

    The lengths must fall, unless ``enforce_sorted=False``, which sorts the sequences.

    >>> packed = nn.utils.rnn.pack_padded_sequence(torch.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
    >>> packed.data, packed.batch_sizes
    (tensor([1, 3, 2]), tensor([2, 1]))
    """
    lengths = ops.as_tensor(lengths, dtype=int64, device="cpu")
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = ops.sort(lengths, descending=True)
        sorted_indices = sorted_indices.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if lengths.dim() != 1:
        raise RuntimeError(
            f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.dim()}D cpu Long tensor"
        )
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    steps = input.transpose(0, 1) if batch_first else input
    pack = _pack_whole if grad_state.exporting else _pack
    data, batch_sizes = exported_whole("pack_padded_sequence", (steps, lengths), {}, lambda: pack(steps, lengths))
    return PackedSequence(data, batch_sizes, sorted_indices, None)


def _pack(steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of (T, B, *) that are within their sequences' lengths, and how many each step has."""
    max_length, batch_size = steps.shape[:2]
    sizes = lengths.tolist()
    _check_lengths(sizes, max_length, batch_size)
    batch_sizes = [sum(size > step for size in sizes) for step in range(sizes[0])]
    data = steps.reshape(max_length * batch_size, *steps.shape[2:])
    if set(batch_sizes) != {batch_size} or len(batch_sizes) != max_length:
        data = data.index_select(0, _packed_positions(batch_sizes, batch_size))
    return data, ops.tensor(batch_sizes, dtype=int64)


def _pack_whole(steps: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The same as if all sequences were as long as they can be: an exported graph takes any lengths, and tells its layers."""
    _check_count(lengths.numel(), steps.shape[1])
    return steps.flatten(0, 1).clone(), ops.full(steps.shape[:1], steps.shape[1], dtype=int64)


def _check_count(count: int, batch_size: int) -> None:
    if count != batch_size:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {count} (batch_size={batch_size})")


def _check_lengths(lengths: list[int], max_length: int, batch_size: int) -> None:
    _check_count(len(lengths), batch_size)
    if any(longer < shorter for longer, shorter in pairwise(lengths)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you "
            "do not need ONNX exportability."
        )
    if lengths[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if lengths[0] > max_length:
        raise RuntimeError(
            f"Expected `lengths` to be at most {max_length}, the padded length of the input, but got {lengths[0]}"
        )


def _packed_positions(batch_sizes: list[int], batch_size: int) -> Tensor:
    """Where the packed rows are in a (T * B, *) view of the padded (T, B, *) tensor."""
    return ops.tensor([step * batch_size + row for step, size in enumerate(batch_sizes) for row in range(size)])


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo :func:`pack_padded_sequence`: the padded sequences, (T, B, *) or (B, T, *), and their lengths.

    ``total_length`` pads to more than the longest sequence.

    >>> packed = nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])])
    >>> nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2],
            [3, 0]]), tensor([2, 1]))
    """
    data, batch_sizes, _, unsorted_indices = sequence
    padded, lengths = exported_whole(
        "pad_packed_sequence", (data,), {"padding_value": padding_value},
        lambda: _padded(data, batch_sizes.tolist(), padding_value, total_length),
    )  # fmt: skip
    if batch_first:
        padded = padded.transpose(0, 1)
    if unsorted_indices is None:
        return padded, lengths
    return padded.index_select(0 if batch_first else 1, unsorted_indices), lengths[unsorted_indices.cpu()]


def _padded(data: Tensor, sizes: list[int], padding_value: float, total_length: int | None) -> tuple[Tensor, Tensor]:
    """The sequences as (T, B, *), and their lengths."""
    length = len(sizes)
    if total_length is not None:
        if total_length < length:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got "
                f"total_length={total_length} and max sequence length being {length}"
            )
        length = total_length
    batch_size = sizes[0]
    padding = ops.full((length * batch_size, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    padded = padding.index_copy(0, _packed_positions(sizes, batch_size), data)
    padded = padded.view(length, batch_size, *data.shape[1:])
    return padded, ops.tensor([sum(size > row for size in sizes) for row in range(batch_size)], dtype=int64)


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Stack sequences of shape (L, *) into (T, B, *), or (B, T, *) if ``batch_first``, padded to the longest.

    >>> nn.utils.rnn.pad_sequence([torch.tensor([1, 2]), torch.tensor([3])], batch_first=True)
    tensor([[1, 2],
            [3, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    items = tuple(sequences)
    if not items:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    first = items[0]
    length = max(item.size(0) for item in items)
    trailing = tuple(first.shape[1:])
    shape = (len(items), length, *trailing) if batch_first else (length, len(items), *trailing)
    padded = ops.full(shape, padding_value, dtype=first.dtype, device=first.device)
    for position, item in enumerate(items):
        start = 0 if padding_side == "right" else length - item.size(0)
        rows = padded[position] if batch_first else padded[:, position]
        rows.narrow(0, start, item.size(0)).copy_(item)
    return padded


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """Undo :func:`pad_sequence`: each sequence cut to its length.

    >>> nn.utils.rnn.unpad_sequence(torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1]), batch_first=True)
    [tensor([1, 2]), tensor([3])]
    """
    if not batch_first:
        # In place, so the caller's tensor is transposed too: what PyTorch does.
        padded_sequences.transpose_(0, 1)
    positions = ops.arange(padded_sequences.shape[1], device=lengths.device)
    return [sequence[positions < length] for sequence, length in zip(padded_sequences, lengths, strict=True)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of shape (L, *), longest first unless ``enforce_sorted=False``.

    >>> nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])]).data
    tensor([1, 3, 2])
    """
    lengths = ops.tensor([sequence.size(0) for sequence in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo :func:`pack_sequence`.

    >>> nn.utils.rnn.unpack_sequence(nn.utils.rnn.pack_sequence([torch.tensor([1, 2]), torch.tensor([3])]))
    [tensor([1, 2]), tensor([3])]
    """
    padded_sequences, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded_sequences, lengths, batch_first=True)
