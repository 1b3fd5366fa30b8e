"""Linear algebra: products, decompositions, solvers. Values by NumPy or from PyTorch 2.13, gradients by finite differences."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import rushlight as torch

rng = np.random.default_rng(7)


def matrix(*shape: int, complex: bool = False) -> np.ndarray:
    real = rng.standard_normal(shape)
    return real + 1j * rng.standard_normal(shape) if complex else real


def positive(*shape: int, complex: bool = False) -> np.ndarray:
    a = matrix(*shape, complex=complex)
    return a @ a.conj().swapaxes(-1, -2) + np.eye(shape[-1])


def weighted(value: object) -> torch.Tensor:
    """A real number that depends on every element of a result."""
    if isinstance(value, (tuple, list)):
        return sum((weighted(v) for v in value), torch.zeros((), dtype=torch.float64))
    if value.is_complex():
        return weighted(value.real) + weighted(value.imag.flip(0) if value.dim() else value.imag)
    weights = torch.arange(1, value.numel() + 1, dtype=torch.float64).reshape(value.shape) / value.numel()
    return (value * weights * weights).sum()


def numeric_gradient(function, arrays: list[np.ndarray], which: int) -> np.ndarray:
    step, base = 1e-6, arrays[which]
    found = np.zeros(base.shape, base.dtype)
    for place in np.ndindex(base.shape):
        for unit in (1, 1j) if np.iscomplexobj(base) else (1,):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[which][place] += sign * step * unit
                ends.append(weighted(function(*map(torch.tensor, moved))).item())
            found[place] += unit * (ends[0] - ends[1]) / (2 * step)
    return found


def rebuilt(result) -> tuple[torch.Tensor, ...]:
    """What a decomposition determines whatever the phases of its vectors."""
    U, S, Vh = result
    return S, U.abs() ** 2, Vh.abs() ** 2, (U * (S * S).unsqueeze(-2)) @ Vh


def eigen_parts(result) -> tuple[torch.Tensor, ...]:
    L, V = result
    return (L**3).sum(-1), (V * (L * L).unsqueeze(-2)) @ torch.linalg.inv(V), (V.abs() ** 2).sum(-1)


L = torch.linalg
DIFFERENTIABLE = {
    "cholesky upper": (lambda a: L.cholesky(a @ a.mH, upper=True), [(3, 3)]),
    "inv": (L.inv, [(2, 3, 3)]),
    "solve": (L.solve, [(2, 3, 3), (2, 3, 2)]),
    "solve from the right": (lambda a, b: L.solve(a, b, left=False), [(3, 3), (2, 3)]),
    "det": (L.det, [(2, 3, 3)]),
    "slogdet": (L.slogdet, [(3, 3)]),
    "eigh": (lambda a: eigen_parts(L.eigh(a @ a.mH)), [(3, 3)]),
    "eig": (lambda a: eigen_parts(L.eig(a)), [(3, 3)]),
    "svd of a tall matrix": (lambda a: rebuilt(L.svd(a, full_matrices=False)), [(4, 3)]),
    "svd of a wide matrix": (lambda a: rebuilt(L.svd(a, full_matrices=False)), [(3, 4)]),
    "qr of a tall matrix": (L.qr, [(4, 3)]),
    "qr of a wide matrix": (L.qr, [(3, 4)]),
    "lu of a tall matrix": (lambda a: L.lu(a)[1:], [(4, 3)]),
    "lu of a wide matrix": (lambda a: L.lu(a)[1:], [(3, 4)]),
    "lu_solve with the adjoint": (lambda a, b: L.lu_solve(*L.lu_factor(a), b, adjoint=True), [(3, 3), (3, 2)]),
    "pinv of a tall matrix": (L.pinv, [(4, 3)]),
    "pinv of a wide matrix": (L.pinv, [(3, 4)]),
    "lstsq and its residuals": (lambda a, b: L.lstsq(a, b, driver="gelsd")[:2], [(4, 3), (4, 2)]),
    "solve_triangular": (lambda a, b: L.solve_triangular(a, b, upper=True), [(3, 3), (3, 2)]),
    "matrix_exp": (L.matrix_exp, [(3, 3)]),
    "matrix_power": (lambda a: L.matrix_power(a, -3), [(3, 3)]),
    "householder_product": (L.householder_product, [(4, 2), (2,)]),
    "ormqr": (lambda a, t, b: torch.ormqr(a, t, b, left=False, transpose=True), [(4, 2), (2,), (3, 4)]),
    "nuclear norm": (lambda a: L.matrix_norm(a, "nuc"), [(4, 3)]),
    "multi_dot": (lambda a, b, c: L.multi_dot([a, b, c]), [(2, 3), (3, 4), (4,)]),
    "einsum with a diagonal and an ellipsis": (lambda a, b: torch.einsum("...ii,...j->j...", a, b), [(2, 3, 3), (2, 4)]),
}


@pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_are_those_of_finite_differences(name: str, complex: bool) -> None:
    function, shapes = DIFFERENTIABLE[name]
    arrays = [matrix(*shape, complex=complex) for shape in shapes]
    inputs = [torch.tensor(a).requires_grad_() for a in arrays]
    found = torch.autograd.grad(weighted(function(*inputs)), inputs)
    for n, gradient in enumerate(found):
        expected = numeric_gradient(function, arrays, n)
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradient.resolve_conj().numpy() / scale, expected / scale, atol=2e-6)


def test_gradient_of_a_determinant_of_zero_is_the_adjugate() -> None:
    a = torch.diag(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)).requires_grad_()
    L.det(a).backward()
    assert a.grad.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 2]]


def test_the_zeroth_power_has_a_gradient_of_zero() -> None:
    a = torch.tensor(matrix(3, 3)).requires_grad_()
    power = L.matrix_power(a, 0)
    (gradient,) = torch.autograd.grad(power.sum(), a, allow_unused=True)
    assert power.tolist() == torch.eye(3).tolist()
    assert gradient is None or gradient.abs().max().item() == 0


def test_linalg_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(L.LinAlgError("singular")))
    assert type(error) is L.LinAlgError
    assert str(error) == "singular"


def test_second_order_through_inverse() -> None:
    """The second derivative of 1/x at 2 is 1/4."""
    x = torch.tensor([[2.0]], requires_grad=True)
    (first,) = torch.autograd.grad(L.inv(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert first.item() == -0.25
    assert second.item() == 0.25


@pytest.mark.parametrize("complex", [False, True], ids=["real", "complex"])
def test_decompositions_multiply_back(complex: bool) -> None:
    a, tall, hermitian = (torch.tensor(m) for m in (matrix(2, 4, 4, complex=complex), matrix(2, 5, 3, complex=complex), positive(2, 4, 4, complex=complex)))

    def same(x: torch.Tensor, y: torch.Tensor) -> None:
        np.testing.assert_allclose(x.resolve_conj().numpy(), y.resolve_conj().numpy(), atol=1e-10)

    lower = L.cholesky(hermitian)
    same(lower @ lower.mH, hermitian)
    q, r = L.qr(tall, mode="complete")
    assert q.shape == (2, 5, 5)
    same(q @ r, tall)
    same(torch.ormqr(*torch.geqrf(tall), r), tall)
    same(L.householder_product(*torch.geqrf(tall)), L.qr(tall).Q)
    p, lower, upper = L.lu(tall)
    same(p.to(tall.dtype) @ lower @ upper, tall)
    values, vectors = L.eig(a)
    same(a.to(vectors.dtype) @ vectors, vectors * values.unsqueeze(-2))
    u, s, vh = L.svd(tall, full_matrices=False)
    same((u * s.unsqueeze(-2)) @ vh, tall)
    b = torch.tensor(matrix(2, 4, 3, complex=complex))
    same(hermitian @ L.ldl_solve(*L.ldl_factor(hermitian, hermitian=True), b, hermitian=True), b)
    same(L.lu_solve(*L.lu_factor(a), b.mT, left=False) @ a, b.mT)
    same(hermitian @ torch.cholesky_solve(b, L.cholesky(hermitian)), b)
    same(hermitian @ torch.cholesky_inverse(L.cholesky(hermitian)), torch.eye(4, dtype=a.dtype).expand(2, 4, 4))


def test_results_have_the_strides_of_lapack() -> None:
    a = torch.tensor(matrix(2, 3, 5))
    square = a[..., :3]
    assert L.inv(square).stride() == (9, 1, 3)
    assert L.solve(square, a).stride() == (15, 1, 3)
    assert L.qr(a).R.stride() == (15, 1, 3)
    assert L.svd(a).Vh.stride() == (25, 1, 5)
    assert torch.svd(a).V.stride() == (15, 3, 1)


MESSAGES = [
    (lambda: L.cholesky(-torch.eye(2)), L.LinAlgError, "linalg.cholesky: The factorization could not be completed because the input is not positive-definite (the leading minor of order 1 is not positive-definite)."),
    (lambda: L.cholesky(torch.stack([torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])])), L.LinAlgError, "linalg.cholesky: (Batch element 1): The factorization could not be completed because the input is not positive-definite (the leading minor of order 2 is not positive-definite)."),
    (lambda: L.inv(torch.ones(2, 2)), L.LinAlgError, "linalg.inv: The diagonal element 2 is zero, the inversion could not be completed because the input matrix is singular."),
    (lambda: L.solve(torch.zeros(3, 3), torch.ones(3)), L.LinAlgError, "torch.linalg.solve: The solver failed because the input matrix is singular."),
    (lambda: L.solve(torch.eye(3), torch.ones(4, 3)), RuntimeError, "linalg.solve: Incompatible shapes of A and B for the equation AX = B (3x3 and 4x3)"),
    (lambda: L.inv(torch.ones(2, 3)), RuntimeError, "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices"),
    (lambda: L.inv(torch.ones(3)), RuntimeError, "linalg.inv: The input tensor A must have at least 2 dimensions."),
    (lambda: L.det(torch.ones(2, 2, dtype=torch.int64)), RuntimeError, "linalg.det: Expected a floating point or complex tensor as input. Got Long"),
    (lambda: L.qr(torch.ones(2, 2).half()), NotImplementedError, "\"geqrf_cpu\" not implemented for 'Half'"),
    (lambda: torch.norm_except_dim(torch.ones(3), 2, 1), IndexError, "Dimension out of range (expected to be in range of [-1, 0], but got 1)"),
    (lambda: L.inv(torch.ones(2, 2).half()), RuntimeError, "linalg.inv: Low precision dtypes not supported. Got Half"),
    (lambda: L.qr(torch.eye(2), mode="x"), RuntimeError, "qr received unrecognized mode 'x' but expected one of 'reduced' (default), 'r', or 'complete'"),
    (lambda: L.svd(torch.full((2, 2), float("nan"))), L.LinAlgError, "linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values."),
    (lambda: L.matrix_norm(torch.eye(2), 3), RuntimeError, "linalg.matrix_norm: Order 3 not supported."),
    (lambda: torch.einsum("ij,jk", torch.ones(2, 3), torch.ones(2, 3)), RuntimeError, "einsum(): subscript j has size 2 for operand 1 which does not broadcast with previously seen size 3"),
    (lambda: torch.einsum("i->ii", torch.ones(2)), RuntimeError, "einsum(): output subscript i appears more than once in the output"),
    (lambda: torch.tensordot(torch.ones(2, 3), torch.ones(3), dims=([0], [0])), RuntimeError, "contracted dimensions need to match, but first has size 2 in dim 0 and second has size 3 in dim 0"),
    (lambda: torch.baddbmm(torch.ones(2, 2), torch.ones(2, 3, 3), torch.ones(2, 3, 5)), RuntimeError, "The expanded size of the tensor (5) must match the existing size (2) at non-singleton dimension 2.  Target sizes: [2, 3, 5].  Tensor sizes: [2, 2]"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(MESSAGES)))
def test_errors_are_pytorchs(case: int) -> None:
    call, kind, message = MESSAGES[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == message
    assert type(caught.value).__name__ == ("_LinAlgError" if kind is L.LinAlgError else kind.__name__)


def test_a_singular_matrix_is_reported_by_number() -> None:
    batch = torch.stack([torch.eye(3), torch.ones(3, 3), torch.zeros(3, 3)])
    assert L.inv_ex(batch).info.tolist() == [0, 2, 1]
    assert L.lu_factor_ex(batch).info.tolist() == [0, 2, 1]
    assert L.cholesky_ex(torch.stack([torch.eye(2), -torch.eye(2)])).info.tolist() == [0, 1]
    assert L.inv_ex(batch).inverse[0].tolist() == torch.eye(3).tolist()


EQUATIONS = {
    "ij,jk->ik": [(2, 3), (3, 4)],
    "ij,jk": [(2, 3), (3, 4)],
    "ba,cb": [(2, 3), (4, 2)],
    "bij,bjk,bk->bi": [(2, 3, 4), (2, 4, 5), (2, 5)],
    "ii": [(3, 3)],
    "iij->ji": [(3, 3, 2)],
    "i,j,k->kij": [(2,), (3,), (4,)],
    "...ij,...jk->...ik": [(5, 1, 2, 3), (4, 3, 2)],
    "b...,b...->...": [(2, 3, 4), (2, 3, 4)],
    "ij,ij->": [(2, 3), (2, 3)],
    "ij,kl->": [(2, 3), (4, 5)],
}


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_is_numpys(equation: str) -> None:
    arrays = [matrix(*shape) for shape in EQUATIONS[equation]]
    found = torch.einsum(equation, *map(torch.tensor, arrays))
    np.testing.assert_allclose(found.numpy(), np.einsum(equation, *arrays), atol=1e-12)


def test_einsum_takes_lists_of_labels_and_broadcasts_dims_of_one() -> None:
    a, b = matrix(2, 3), matrix(3, 4)
    found = torch.einsum(torch.tensor(a), [0, 1], torch.tensor(b), [1, 2], [2, 0])
    np.testing.assert_allclose(found.numpy(), (a @ b).T)
    assert torch.einsum("ij,ij->ij", torch.ones(1, 3), torch.ones(2, 3)).shape == (2, 3)


def test_beta_zero_ignores_what_the_input_holds() -> None:
    bad = torch.full((2, 2), float("nan"))
    eye = torch.eye(2)
    assert torch.addmm(bad, eye, eye, beta=0).tolist() == eye.tolist()
    assert torch.addbmm(bad, eye[None], eye[None], beta=0).tolist() == eye.tolist()
    assert torch.addr(bad, eye[0], eye[1], beta=0, alpha=3).tolist() == [[0, 3], [0, 0]]


def test_in_place_sums_with_products_write_to_their_first_operand() -> None:
    total = torch.zeros(2, 2)
    assert total.addr_(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])) is total
    assert total.tolist() == [[3, 4], [6, 8]]
    total.addbmm_(torch.ones(3, 2, 1), torch.ones(3, 1, 2), beta=0)
    assert total.tolist() == [[3, 3], [3, 3]]


def test_least_squares_gives_what_its_driver_gives() -> None:
    a, b = torch.tensor(matrix(5, 3)), torch.tensor(matrix(5, 2))
    default, divided, plain = L.lstsq(a, b), L.lstsq(a, b, driver="gelsd"), L.lstsq(a, b, driver="gels")
    np.testing.assert_allclose(default.solution.numpy(), np.linalg.lstsq(a.numpy(), b.numpy(), None)[0])
    assert [t.shape for t in default] == [(3, 2), (0,), (), (0,)]
    assert [t.shape for t in divided] == [(3, 2), (2,), (), (3,)]
    assert [t.shape for t in plain] == [(3, 2), (2,), (0,), (0,)]
    np.testing.assert_allclose(divided.residuals.numpy(), ((a @ divided.solution - b) ** 2).sum(0).numpy())


def test_norms_are_numpys() -> None:
    a = matrix(3, 4)
    for ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        np.testing.assert_allclose(L.norm(torch.tensor(a), ord).item(), np.linalg.norm(a, ord))
    square = matrix(3, 3)
    for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        np.testing.assert_allclose(L.cond(torch.tensor(square), p).item(), np.linalg.cond(square, p))
    assert L.cond(torch.zeros(2, 2), 1).item() == np.inf


def test_rank_and_pseudoinverse_take_tolerances_of_each_matrix() -> None:
    batch = torch.stack([torch.diag(torch.tensor([4.0, 1.0])), torch.diag(torch.tensor([4.0, 3.0]))])
    assert L.matrix_rank(batch, atol=2.0).tolist() == [1, 2]
    assert L.matrix_rank(batch, rtol=torch.tensor([0.1, 0.9])).tolist() == [2, 1]
    assert L.pinv(batch, atol=2.0)[0].tolist() == [[0.25, 0], [0, 0]]


def test_low_rank_forms_draw_as_pytorch() -> None:
    """Recorded: the basis starts from a seeded normal matrix, so a rank too small for the input shows the draw."""
    a = torch.arange(12.0).reshape(4, 3).sin()
    torch.manual_seed(0)
    _, values, _ = torch.svd_lowrank(a, q=1, niter=0)
    torch.manual_seed(0)
    expected = L.qr(a @ torch.randn(3, 1)).Q
    assert values.item() == pytest.approx((expected.mH @ a).norm().item(), rel=1e-6)


def test_the_cross_product_of_two_vectors():
    assert torch.linalg.cross(torch.tensor([1.0, 0.3, 0.0]), torch.tensor([0.0, 1.0, 0.7])).tolist() == pytest.approx([0.21, -0.7, 1.0])


def test_distances_of_all_pairs_of_rows():
    """`pdist` is the upper triangle of `cdist`, equal rows among them, and its gradient that of the formula."""
    torch.manual_seed(0)
    for rows in (1, 2, 7, 20):
        x = torch.randn(rows, 5, dtype=torch.float64)
        x[rows // 2] = x[0]
        one, other = torch.triu_indices(rows, rows, 1)
        for p in (0.0, 0.5, 1.0, 2.0, 3.0, float("inf")):
            found = torch.nn.functional.pdist(x, p)
            assert torch.allclose(found, torch.cdist(x, x, p, compute_mode="donot_use_mm_for_euclid_dist")[one, other], rtol=1e-12)
            if rows > 1 and p >= 1:
                operands = [x.clone().requires_grad_() for _ in range(2)]
                ways = (torch.nn.functional.pdist(operands[0], p), torch.linalg.vector_norm(operands[1][one] - operands[1][other], p, -1))
                gradients = [torch.autograd.grad((way * torch.arange(1.0, len(way) + 1)).sum(), operand)[0] for way, operand in zip(ways, operands, strict=True)]
                assert torch.allclose(*gradients, rtol=1e-12)
