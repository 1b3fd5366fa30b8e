"""`torch.return_types`: the named tuples that ops with several results return.

>>> torch.sort(torch.tensor([2, 1])).indices
tensor([1, 0])
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any


class NamedResult(tuple[Any, ...]):
    """A tuple whose parts have names; prints as ``torch.return_types.sort(values=..., indices=...)``."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def __new__(cls, *parts: Any) -> Any:
        if len(parts) == 1 and len(cls._fields) != 1:
            (parts,) = parts
        if len(parts) != len(cls._fields):
            raise TypeError(f"torch.return_types.{cls.__name__}() takes a {len(cls._fields)}-sequence ({len(parts)}-sequence given)")
        return tuple.__new__(cls, parts)

    def __repr__(self) -> str:
        parts = ",\n".join(f"{name}={part!r}" for name, part in zip(self._fields, self, strict=True))
        return f"torch.return_types.{type(self).__name__}(\n{parts})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self),)


def _named(name: str, fields: str) -> type[NamedResult]:
    names = tuple(fields.split())
    parts: dict[str, Any] = {field: property(itemgetter(n)) for n, field in enumerate(names)}
    return type(name, (NamedResult,), {"__slots__": (), "__module__": "torch.return_types", "_fields": names, "n_fields": len(names), "n_sequence_fields": len(names), "n_unnamed_fields": 0, "__match_args__": names, **parts})


max = _named("max", "values indices")
min = _named("min", "values indices")
median = _named("median", "values indices")
nanmedian = _named("nanmedian", "values indices")
mode = _named("mode", "values indices")
kthvalue = _named("kthvalue", "values indices")
topk = _named("topk", "values indices")
sort = _named("sort", "values indices")
cummax = _named("cummax", "values indices")
cummin = _named("cummin", "values indices")
aminmax = _named("aminmax", "min max")
histogram = _named("histogram", "hist bin_edges")
histogramdd = _named("histogramdd", "hist bin_edges")
frexp = _named("frexp", "mantissa exponent")
qr = _named("qr", "Q R")
svd = _named("svd", "U S V")
geqrf = _named("geqrf", "a tau")
slogdet = _named("slogdet", "sign logabsdet")
triangular_solve = _named("triangular_solve", "solution cloned_coefficient")
lu_unpack = _named("lu_unpack", "P L U")
linalg_qr = _named("linalg_qr", "Q R")
linalg_svd = _named("linalg_svd", "U S Vh")
linalg_eig = _named("linalg_eig", "eigenvalues eigenvectors")
linalg_eigh = _named("linalg_eigh", "eigenvalues eigenvectors")
linalg_slogdet = _named("linalg_slogdet", "sign logabsdet")
linalg_lu = _named("linalg_lu", "P L U")
linalg_lu_factor = _named("linalg_lu_factor", "LU pivots")
linalg_lu_factor_ex = _named("linalg_lu_factor_ex", "LU pivots info")
linalg_ldl_factor = _named("linalg_ldl_factor", "LD pivots")
linalg_ldl_factor_ex = _named("linalg_ldl_factor_ex", "LD pivots info")
linalg_cholesky_ex = _named("linalg_cholesky_ex", "L info")
linalg_inv_ex = _named("linalg_inv_ex", "inverse info")
linalg_solve_ex = _named("linalg_solve_ex", "result info")
linalg_lstsq = _named("linalg_lstsq", "solution residuals rank singular_values")
