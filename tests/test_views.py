"""Views: they share memory with their base, in every direction, and gradients follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as torch

#: Each gives a view of a (2, 3, 4) tensor, and works on NumPy arrays too where the second function says how.
VIEWS: dict[str, tuple[Callable[[Any], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "select": (lambda x: x.select(1, -1), lambda a: a[:, -1]),
    "narrow": (lambda x: x.narrow(2, 1, 2), lambda a: a[:, :, 1:3]),
    "slice with a step": (lambda x: x[:, ::2, 1::2], lambda a: a[:, ::2, 1::2]),
    "transpose": (lambda x: x.transpose(0, 2), lambda a: a.transpose(2, 1, 0)),
    "permute": (lambda x: x.permute(1, 2, 0), lambda a: a.transpose(1, 2, 0)),
    "movedim": (lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    "view": (lambda x: x.view(6, 4), lambda a: a.reshape(6, 4)),
    "view with a hole": (lambda x: x.view(2, -1), lambda a: a.reshape(2, -1)),
    "flatten": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    "unflatten": (lambda x: x.unflatten(2, (2, -1)), lambda a: a.reshape(2, 3, 2, 2)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "squeeze": (lambda x: x[:, :1].squeeze(1), lambda a: a[:, 0]),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda a: a.diagonal(1, 1, 2)),
    "unbind": (lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    "split": (lambda x: x.split([1, 2], 1)[1], lambda a: a[:, 1:]),
    "chunk": (lambda x: x.chunk(2, 2)[1], lambda a: a[:, :, 2:]),
    "tensor_split": (lambda x: x.tensor_split((1,), 1)[1], lambda a: a[:, 1:]),
    "as_strided": (lambda x: x.as_strided((2, 2), (4, 3), 2), lambda a: np.lib.stride_tricks.as_strided(a.reshape(-1)[2:], (2, 2), (4 * a.itemsize, 3 * a.itemsize))),
    "T of a matrix": (lambda x: x[0].T, lambda a: a[0].T),
    "mT": (lambda x: x.mT, lambda a: a.swapaxes(1, 2)),
    "two views": (lambda x: x[1].t()[1:], lambda a: a[1].T[1:]),
    "unfold": (lambda x: x.unfold(2, 2, 2), lambda a: a.reshape(2, 3, 2, 2)),
    "detach": (lambda x: x.detach()[0], lambda a: a[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_and_writes_the_base(name: str) -> None:
    show, as_numpy = VIEWS[name]
    base = torch.arange(24.0).view(2, 3, 4).clone()
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    view, expected = show(base), as_numpy(array)
    assert view.tolist() == expected.tolist()
    assert view.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    values = np.arange(100.0, 100.0 + view.numel()).reshape(expected.shape)
    view.copy_(torch.tensor(values))
    if not expected.flags.writeable:  # a diagonal
        expected.flags.writeable = True
    expected[...] = values
    assert base.tolist() == array.tolist()
    base.mul_(-1)
    assert view.tolist() == (-expected).tolist()


@pytest.mark.parametrize("name", [n for n in VIEWS if n not in ("detach", "unbind", "split", "chunk")])
def test_gradients_flow_through_views_and_around_writes(name: str) -> None:
    show, as_numpy = VIEWS[name]
    leaf = torch.arange(24.0).view(2, 3, 4).requires_grad_()
    weight = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7
    shown = np.zeros((2, 3, 4), np.float32)
    part = as_numpy(shown)
    if not part.flags.writeable:
        part.flags.writeable = True
    part[...] = 1
    (show(leaf) * show(torch.tensor(weight))).sum().backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), weight * shown)
    # A write through the view scales that part of the gradient alone.
    leaf.grad = None
    base = leaf * 1
    show(base).mul_(3)
    (base * torch.tensor(weight)).sum().backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(leaf.grad.numpy(), weight * (1 + 2 * shown), rtol=1e-6)


def test_a_view_made_before_a_write_to_its_base_knows_the_new_history() -> None:
    leaf = torch.ones(3, requires_grad=True)
    base = leaf * 1
    view = base.view(3, 1)
    base[1] = 7.0
    view.sum().backward()
    assert leaf.grad is not None and leaf.grad.tolist() == [1, 0, 1]


@pytest.mark.parametrize("parts", [lambda x: x.split(2), lambda x: x.chunk(2), lambda x: x.unbind()])
def test_one_of_several_views_must_not_be_written_under_autograd(parts: Callable[[Any], Any]) -> None:
    base = torch.ones(4, requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="is the output of a function that returns multiple views"):
        parts(base)[0].mul_(2)
    plain = torch.ones(4)
    parts(plain)[0].mul_(2)
    assert plain[0].item() == 2


@pytest.mark.parametrize("write", [lambda x: x.add_(1), lambda x: x.copy_(torch.ones(2, 3)), lambda x: x.sin_(), lambda x: x.__setitem__(0, 1.0), lambda x: x.scatter_(0, torch.zeros(1, 1, dtype=torch.int64), 1.0)])
def test_writes_to_an_expanded_tensor_are_refused(write: Callable[[Any], Any]) -> None:
    base = torch.zeros(2, 1)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single memory location"):
        write(base.expand(2, 3))
    assert base.tolist() == [[0], [0]]


def test_a_fill_of_an_expanded_tensor_is_allowed() -> None:
    base = torch.zeros(2, 1)
    base.expand(2, 3).fill_(2)
    assert base.tolist() == [[2], [2]]


def test_what_cannot_be_a_view_is_a_copy_or_refused() -> None:
    x = torch.arange(6).view(2, 3).t()
    with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
        x.view(6)
    copy = x.reshape(6)
    copy[0] = 9
    assert x[0, 0].item() == 0


def test_the_size_of_parts_has_a_name_of_its_own_in_the_method() -> None:
    x = torch.arange(6)
    assert [part.tolist() for part in x.split(split_size=4)] == [part.tolist() for part in torch.split(x, split_size_or_sections=4)] == [[0, 1, 2, 3], [4, 5]]
    for call in (lambda: torch.split(x, split_size=4), lambda: x.split(split_size_or_sections=4)):
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'split_size"):
            call()


def test_bytes_seen_as_another_dtype() -> None:
    x = torch.tensor([1.0, -2.0])
    assert x.view(torch.int32).tolist() == [0x3F800000, 0xC0000000 - (1 << 32)]
    x.view(torch.int16)[1] = 0x4000
    assert x[0].item() == 2.0
    assert x[1:].view(torch.uint8).storage_offset() == 4
    with pytest.raises(RuntimeError, match=r"self.size\(-1\) must be divisible by 2"):
        torch.zeros(3, dtype=torch.int16).view(torch.int32)


def test_in_place_changes_of_geometry() -> None:
    x = torch.arange(6).view(2, 3)
    y = x.clone()
    assert y.t_() is y and y.shape == (3, 2) and y.stride() == (1, 3)
    assert y.unsqueeze_(0).squeeze_(0).transpose_(0, 1).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x.select(0, 2), IndexError, "select(): index 2 out of range for tensor of size [2, 3] at dimension 0"),
        (lambda x: x.narrow(0, 1, 2), RuntimeError, "start (1) + length (2) exceeds dimension size (2)."),
        (lambda x: x.permute(0, 0), RuntimeError, "permute(): duplicate dims are not allowed."),
        (lambda x: x.expand(2, 4), RuntimeError, "The expanded size of the tensor (4) must match the existing size (3) at non-singleton dimension 1.  Target sizes: [2, 4].  Tensor sizes: [2, 3]"),
        (lambda x: x.split([1, 2]), RuntimeError, "split_with_sizes expects split_sizes to sum exactly to 2 (input tensor's size at dimension 0), but got split_sizes=[1, 2]"),
        (lambda x: x.as_strided((2, 9), (3, 1)), RuntimeError, "setStorage: sizes [2, 9], strides [3, 1], storage offset 0, and itemsize 4 requiring a storage size of 48 are out of bounds for storage of size 24"),
        (lambda x: x.unfold(0, 3, 1), RuntimeError, "maximum size for tensor at dimension 0 is 2 but size is 3"),
    ],
)  # fmt: skip
def test_refused(call: Callable[[Any], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        call(torch.zeros(2, 3))
    assert str(caught.value) == message


def test_repeats_by_a_number_are_an_expanded_copy() -> None:
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    found = x.repeat_interleave(2, 1)
    assert found.tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]
    assert found.grad_fn is not None and found.grad_fn.name() == "ViewBackward0"
    (found * torch.arange(12.0).reshape(2, 6)).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 5, 9], [13, 17, 21]]
    assert torch.equal(x.repeat_interleave(3), x.flatten().repeat_interleave(torch.tensor(3)))
    assert x.repeat_interleave(0, 0).shape == (0, 3) and torch.ones(()).repeat_interleave(2).shape == (2,)
    with pytest.raises(RuntimeError, match="Repeats must be non-negative"):
        x.repeat_interleave(-1)
    with pytest.raises(RuntimeError, match="Invalid output_size, expected 6 but got 5"):
        torch.repeat_interleave(x, 2, 1, output_size=5)


def test_cross_products_are_one_op() -> None:
    a, b = torch.tensor([[1.0, 2, 3], [0.3, 0.7, 1.3]], requires_grad=True), torch.tensor([[-2.0, 0.5, 4]], requires_grad=True)
    found = torch.linalg.cross(a, b)
    np.testing.assert_allclose(found.detach().numpy(), np.cross(a.detach().numpy(), b.detach().numpy()), rtol=1e-6)
    assert found.grad_fn is not None and found.grad_fn.name() == "LinalgCrossBackward0"
    wide = [t.detach().double().requires_grad_() for t in (a, b)]
    assert torch.autograd.gradcheck(torch.linalg.cross, wide) and torch.autograd.gradgradcheck(torch.linalg.cross, wide)
    assert torch.equal(torch.cross(a.t(), b.t().expand(3, 2), dim=0), found.t())
    with pytest.raises(RuntimeError, match="expected scalar type Float but found Double"):
        torch.linalg.cross(a, b.double())
