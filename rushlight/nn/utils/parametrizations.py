"""Ready-made parametrizations: weight norm, spectral norm, orthogonal matrices."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...autograd import no_grad
from ...dtypes import finfo
from ...tensor import Tensor
from ..module import Module
from .parametrize import register_parametrization
from .spectral_norm import output_dim
from .weight_norm import normalized_weight

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _check_has_tensor(module: Module, name: str) -> Tensor:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return normalized_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return ops.norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn a weight's norms along ``dim`` (``original0``) and its direction (``original1``) apart.

    Salimans and Kingma (2016), https://arxiv.org/abs/1602.07868. Also loads what the older ``utils.weight_norm`` saved.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    >>> layer.parametrizations.weight.original0.shape
    torch.Size([3, 1])
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename_old_keys(state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        old_keys = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old_keys):
            for position, key in enumerate(old_keys):
                state_dict[f"{prefix}parametrizations.{name}.original{position}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(rename_old_keys)
    return module


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        ndim = weight.ndim
        if dim >= ndim or dim < -ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{ndim}, {ndim - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim if dim >= 0 else dim + ndim
        self.eps = eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._reshape_weight_to_matrix(weight)
            height, width = matrix.size()
            u = matrix.new_empty(height).normal_(0, 1)
            v = matrix.new_empty(width).normal_(0, 1)
            self.register_buffer("_u", ops.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", ops.normalize(v, dim=0, eps=eps))
            self._power_method(matrix, 15)

    def _reshape_weight_to_matrix(self, weight: Tensor) -> Tensor:
        if self.dim != 0:
            weight = weight.permute(self.dim, *[dim for dim in range(weight.dim()) if dim != self.dim])
        return weight.flatten(1)

    def _power_method(self, matrix: Tensor, n_power_iterations: int) -> None:
        """Bring the buffers nearer to the first singular vectors, in place: copies of the module share them."""
        with no_grad():
            for _ in range(n_power_iterations):
                self._u.copy_(ops.normalize(ops.mv(matrix, self._v), dim=0, eps=self.eps))
                self._v.copy_(ops.normalize(ops.mv(matrix.mH, self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return ops.normalize(weight, dim=0, eps=self.eps)
        matrix = self._reshape_weight_to_matrix(weight)
        if self.training:
            self._power_method(matrix, self.n_power_iterations)
        # The next call changes the buffers in place, perhaps before this one's backward.
        u, v = self._u.clone(), self._v.clone()
        return weight / ops.vdot(u, ops.mv(matrix, v))

    def right_inverse(self, value: Tensor) -> Tensor:
        # The assigned value is likely to have been normalized already.
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a weight by its largest singular value, estimated by power iteration at each training forward.

    Miyato et al. (2018), https://arxiv.org/abs/1802.05957.

    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 30))
    >>> torch.linalg.matrix_norm(layer.weight, 2) < 1.1
    tensor(True)
    """
    weight = _check_has_tensor(module, name)
    dim = output_dim(module) if dim is None else dim
    register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))
    return module


_ORTHOGONAL_MAPS = ("matrix_exp", "cayley", "householder")


def _is_orthogonal(q: Tensor) -> bool:
    rows, columns = q.shape[-2:]
    tolerance = 10.0 * rows * finfo(q.dtype).eps
    return bool(ops.allclose(q.mH @ q, ops.eye(columns, dtype=q.dtype, device=q.device), atol=tolerance))


def _make_orthogonal(matrix: Tensor) -> Tensor:
    """The factor Q of ``matrix = Q @ R`` with a positive diagonal of R, which makes it unique."""
    reflectors, tau = ops.geqrf(matrix)
    signs = reflectors.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return ops.linalg_householder_product(reflectors, tau) * signs


class _Orthogonal(Module):
    base: Tensor

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = X.size(-2) < X.size(-1)
        tall = X.mT if wide else X
        q = self._by_householder(tall) if self.orthogonal_map == "householder" else self._by_skew_matrix(tall)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _by_skew_matrix(self, tall: Tensor) -> Tensor:
        """The orthogonal matrix of the skew-symmetric one that has ``tall`` as its lower triangle."""
        rows, columns = tall.shape[-2:]
        lower = tall.tril()
        if rows != columns:
            lower = ops.cat([lower, lower.new_zeros(*lower.shape[:-1], rows - columns)], dim=-1)
        skew = lower - lower.mH
        if self.orthogonal_map == "matrix_exp":
            q = ops.matrix_exp(skew)
        else:
            identity = ops.eye(rows, dtype=skew.dtype, device=skew.device)
            q = ops.linalg_solve(identity - 0.5 * skew, identity + 0.5 * skew)
        return q[..., :columns]

    @staticmethod
    def _by_householder(tall: Tensor) -> Tensor:
        reflectors = tall.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (reflectors * reflectors).sum(dim=-2))
        # The diagonal holds signs, which no gradient may change.
        signs = tall.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        return ops.linalg_householder_product(reflectors, tau) * signs

    def right_inverse(self, Q: Tensor) -> Tensor:
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape {Q.shape}."
            )
        with no_grad():
            wide = Q.size(-2) < Q.size(-1)
            tall = Q.mT if wide else Q
            if not hasattr(self, "base"):
                reflectors = self._reflectors(tall)
                return reflectors.mT if wide else reflectors
            # With a base, the parametrized matrix starts at minus the identity, where the map has an easy value.
            self.base = self._completed(tall)
            negative_identity = ops.zeros_like(Q)
            negative_identity.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
            return negative_identity

    def _reflectors(self, tall: Tensor) -> Tensor:
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "It is not possible to assign to the matrix exponential or the Cayley parametrizations when "
                "use_trivialization=False."
            )
        reflectors, tau = ops.geqrf(tall)
        diagonal = reflectors.diagonal(dim1=-2, dim2=-1)
        diagonal.sign_()
        # A zero tau is the identity, not a reflection.
        diagonal[tau == 0.0] *= -1
        return reflectors

    @staticmethod
    def _completed(tall: Tensor) -> Tensor:
        """A square orthogonal matrix whose first columns are those of ``tall``, orthogonalized if need be."""
        rows, columns = tall.shape[-2:]
        if rows == columns:
            return tall.clone() if _is_orthogonal(tall) else _make_orthogonal(tall)
        missing = ops.randn(*tall.shape[:-2], rows, rows - columns, dtype=tall.dtype, device=tall.device)
        return _make_orthogonal(ops.cat([tall, missing], dim=-1))


def orthogonal(
    module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Module:
    """Keep a matrix (or batch of them) orthogonal; of a wide one, the rows are orthonormal.

    ``orthogonal_map`` is "matrix_exp", "cayley" or "householder".
    Lezcano Casado (2019), https://arxiv.org/abs/1909.09501.

    >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 3))
    >>> torch.allclose(layer.weight @ layer.weight.T, torch.eye(3), atol=1e-5)
    True
    """
    weight = _check_has_tensor(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _ORTHOGONAL_MAPS:
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}'
        )
    parametrization = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    register_parametrization(module, name, parametrization, unsafe=True)
    return module
