"""Linear algebra: decompositions, solvers, determinants, norms. NumPy's LAPACK, and SciPy's where NumPy lacks a routine."""

from .cholesky import (
    cholesky as cholesky,
    cholesky_inverse as cholesky_inverse,
    cholesky_solve as cholesky_solve,
    linalg_cholesky as linalg_cholesky,
    linalg_cholesky_ex as linalg_cholesky_ex,
)
from .determinant import (
    linalg_det as linalg_det,
    linalg_slogdet as linalg_slogdet,
    logdet as logdet,
    slogdet as slogdet,
)
from .eigen import (
    linalg_eig as linalg_eig,
    linalg_eigh as linalg_eigh,
    linalg_eigvals as linalg_eigvals,
    linalg_eigvalsh as linalg_eigvalsh,
)
from .lu import (
    linalg_ldl_factor as linalg_ldl_factor,
    linalg_ldl_factor_ex as linalg_ldl_factor_ex,
    linalg_ldl_solve as linalg_ldl_solve,
    linalg_lu as linalg_lu,
    linalg_lu_factor as linalg_lu_factor,
    linalg_lu_factor_ex as linalg_lu_factor_ex,
    linalg_lu_solve as linalg_lu_solve,
    lu as lu,
    lu_solve as lu_solve,
    lu_unpack as lu_unpack,
)
from .norms import (
    linalg_cond as linalg_cond,
    linalg_matrix_norm as linalg_matrix_norm,
    linalg_norm as linalg_norm,
    linalg_vector_norm as linalg_vector_norm,
    norm_except_dim as norm_except_dim,
)
from .orthogonal import (
    geqrf as geqrf,
    linalg_householder_product as linalg_householder_product,
    linalg_qr as linalg_qr,
    ormqr as ormqr,
    qr as qr,
)
from .products import (
    chain_matmul as chain_matmul,
    linalg_diagonal as linalg_diagonal,
    linalg_matmul as linalg_matmul,
    linalg_matrix_exp as linalg_matrix_exp,
    linalg_matrix_power as linalg_matrix_power,
    linalg_multi_dot as linalg_multi_dot,
    linalg_vander as linalg_vander,
    linalg_vecdot as linalg_vecdot,
    matrix_exp as matrix_exp,
    matrix_power as matrix_power,
    vander as vander,
)
from .singular import (
    linalg_matrix_rank as linalg_matrix_rank,
    linalg_pinv as linalg_pinv,
    linalg_svd as linalg_svd,
    linalg_svdvals as linalg_svdvals,
    pca_lowrank as pca_lowrank,
    pinverse as pinverse,
    svd as svd,
    svd_lowrank as svd_lowrank,
)
from .solve import (
    inverse as inverse,
    linalg_inv as linalg_inv,
    linalg_inv_ex as linalg_inv_ex,
    linalg_lstsq as linalg_lstsq,
    linalg_solve as linalg_solve,
    linalg_solve_ex as linalg_solve_ex,
    linalg_tensorinv as linalg_tensorinv,
    linalg_tensorsolve as linalg_tensorsolve,
)
from .triangular import (
    linalg_solve_triangular as linalg_solve_triangular,
    triangular_solve as triangular_solve,
)
