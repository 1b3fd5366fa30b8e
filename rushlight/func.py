"""Function transforms, `torch.func`: gradients and Jacobians of functions, and `vmap`.

They are built on the ordinary graph: a transform differentiates with ``create_graph=True``, so that transforms nest, and
what it returns loses its history if that leads nowhere but to the transform's own inputs. `vmap` calls the function once
for each element.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import ops
from .autograd import backward_pass
from .grad_mode import enable_grad
from .graph import edge_of, grad_state
from .nn.module import Module
from .nn.utils.stateless import call_with_tensors
from .tensor import Tensor

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize",
    "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap",
]  # fmt: skip

ArgNums = int | tuple[int, ...]


def _flatten(tree: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The leaves of nested tuples, lists and dicts, and a function that puts others in their places."""
    if isinstance(tree, Mapping):
        keys = list(tree)
        children = [tree[key] for key in keys]
    elif isinstance(tree, (tuple, list)):
        children = list(tree)
    else:
        return [tree], lambda leaves: leaves[0]
    parts = [_flatten(child) for child in children]

    def rebuild(leaves: Sequence[Any]) -> Any:
        found, start = [], 0
        for below, rebuild_child in parts:
            found.append(rebuild_child(leaves[start : start + len(below)]))
            start += len(below)
        if isinstance(tree, Mapping):
            return type(tree)(zip(keys, found, strict=True))  # type: ignore[call-arg]
        return type(tree)(*found) if hasattr(tree, "_fields") else type(tree)(found)

    return [leaf for below, _ in parts for leaf in below], rebuild


def _structure(tree: Any) -> Any:
    """The nesting of a tree, to compare."""
    if isinstance(tree, Mapping):
        return (type(tree), tuple((key, _structure(value)) for key, value in tree.items()))
    if isinstance(tree, (tuple, list)):
        return (type(tree), tuple(_structure(child) for child in tree))
    return None


def _integer_dtype(leaves: Sequence[Any]) -> Any:
    """The dtype of the first tensor that can have no gradient."""
    return next((leaf.dtype for leaf in leaves if isinstance(leaf, Tensor) and not (leaf.is_floating_point() or leaf.is_complex())), None)


def _check_primals(primals: Any) -> None:
    dtype = _integer_dtype(_flatten(primals)[0])
    if dtype is not None:
        raise ValueError(f"Expected primal to be floating point or complex, but got: {dtype}")


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", repr(func))


@contextlib.contextmanager
def _differentiating() -> Iterator[None]:
    """Where a transform records a history. Its tensors are its own, so nodes may also keep what inference mode has made."""
    outside = grad_state.transforming
    grad_state.transforming = True
    try:
        with enable_grad():
            yield
    finally:
        grad_state.transforming = outside


class _Level:
    """The inputs of one transform: what it differentiates with respect to."""

    def __init__(self, outer: bool) -> None:
        self.own: set[int] = set()
        self.outer = outer  # whether grad mode is on outside
        self.kept: list[Tensor] = []

    def enter(self, tree: Any) -> Any:
        """The tree with tensors whose history begins here, or goes on to that of the caller's."""
        leaves, rebuild = _flatten(tree)
        if _integer_dtype(leaves):
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        return rebuild([self._fresh(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves])

    def _fresh(self, tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            return tensor.view_as(tensor)
        found = tensor.detach()
        if found.is_floating_point() or found.is_complex():
            found.requires_grad_()
        self.own.add(id(found))
        self.kept.append(found)
        return found

    def leave(self, tree: Any) -> Any:
        """The tree without a history that leads to this transform's inputs alone."""
        leaves, rebuild = _flatten(tree)
        return rebuild([leaf.detach() if isinstance(leaf, Tensor) and leaf.requires_grad and not self._leads_out(leaf) else leaf for leaf in leaves])

    def _leads_out(self, tensor: Tensor) -> bool:
        stack, seen = [edge_of(tensor)], set()
        while self.outer and stack:
            edge = stack.pop()
            if type(edge) is tuple:
                if id(edge[0]) not in seen:
                    seen.add(id(edge[0]))
                    stack.extend(edge[0].edges)
            elif edge is not None and id(edge) not in self.own:
                return True
        return False


def _gradients(outputs: Sequence[Tensor], inputs: Sequence[Tensor], weights: Sequence[Tensor] | None = None) -> list[Tensor]:
    """Gradients that can be differentiated again; zeros for inputs that take no part."""
    pairs = [(o, None if weights is None else weights[n]) for n, o in enumerate(outputs) if o.requires_grad]
    wanted = [t for t in inputs if t.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(wanted)
    if pairs and wanted:
        found = backward_pass.grad([o for o, _ in pairs], wanted, [w for _, w in pairs], create_graph=True, allow_unused=True)
    answers = iter(found)
    return [ops.zeros_like(t) if not t.requires_grad or (g := next(answers)) is None else g for t in inputs]


def _with_aux(found: Any, has_aux: bool, api: str) -> tuple[Any, Any]:
    if not has_aux:
        return found, None
    if not (isinstance(found, tuple) and len(found) == 2):
        raise RuntimeError(f"{api}: output of function f should be a tuple: (output, aux) if has_aux is True")
    return found


def _positions(argnums: ArgNums, count: int) -> tuple[int, ...]:
    """The non-negative positions that `argnums` means."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    every = (argnums,) if isinstance(argnums, int) else argnums
    if not every:
        raise RuntimeError("argnums must be non-empty")
    found = []
    for n in every:
        if not isinstance(n, int):
            raise RuntimeError(f"argnum must be int, got: {type(n)}")
        if not -count <= n < count:
            raise RuntimeError(f"Got argnum={n}, but only {count} positional inputs")
        found.append(n % count)
    if len(set(found)) != len(found):
        raise RuntimeError(f"argnums elements must be unique, got {tuple(found)}")
    return tuple(found)


def _tensor_leaves(tree: Any, api: str) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    leaves, rebuild = _flatten(tree)
    if not leaves:
        raise RuntimeError(f"{api}: Expected f to be a function that has non-empty output (got output = {tree})")
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise RuntimeError(f"{api}: expected f(*primals) to return only tensors, got unsupported type {type(leaf)}")
    return leaves, rebuild


def grad_and_value(func: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives ``(gradient, value)`` of a `func` with a scalar value.

    >>> torch.func.grad_and_value(lambda x: (x ** 2).sum())(torch.tensor([1., 2.]))
    (tensor([2., 4.]), tensor(5.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        level = _Level(grad_state.enabled)
        positions = _positions(argnums, len(args))
        with _differentiating():
            inputs = [level.enter(arg) if n in positions else arg for n, arg in enumerate(args)]
            output, aux = _with_aux(func(*inputs, **kwargs), has_aux, "grad_and_value(f)(*args)")
            if not isinstance(output, Tensor):
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}")
            if output.dim():
                raise RuntimeError(f"grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with {output.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs instead?")
            leaves, rebuild = _flatten(tuple(inputs[n] for n in positions))
            found = rebuild(_gradients([output], leaves))
        gradient = level.leave(found[0] if isinstance(argnums, int) else found)
        value = level.leave(output)
        return (gradient, (value, level.leave(aux))) if has_aux else (gradient, value)

    return wrapper


def grad(func: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of a `func` with a scalar value, with respect to the arguments at `argnums`.

    >>> torch.func.grad(lambda x: torch.sin(x))(torch.tensor(0.))
    tensor(1.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """``(func(*primals), vjp_fn)``: `vjp_fn` multiplies cotangents of the output with the Jacobian.

    >>> output, vjp_fn = torch.func.vjp(lambda x: x ** 2, torch.tensor([1., 2.]))
    >>> vjp_fn(torch.tensor([1., 10.]))
    (tensor([ 2., 40.]),)
    """
    level = _Level(grad_state.enabled)
    with _differentiating():
        inputs = level.enter(primals)
        output, aux = _with_aux(func(*inputs), has_aux, "vjp(f, *primals)")
    outputs, _ = _tensor_leaves(output, "vjp(f, *primals)")
    leaves, rebuild = _flatten(inputs)

    def vjp_fn(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = cotangents if len(cotangents) != 1 else cotangents[0]
        if _structure(given) != _structure(output):
            raise RuntimeError("Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function.")
        with _differentiating():
            found = rebuild(_gradients(outputs, leaves, _flatten(given)[0]))
        return level.leave(found)

    if has_aux:
        return level.leave(output), vjp_fn, level.leave(aux)
    return level.leave(output), vjp_fn


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """``(func(*primals), jvp_fn)``: `jvp_fn` gives the derivative in the direction of its arguments.

    >>> output, jvp_fn = torch.func.linearize(lambda x: x ** 2, torch.tensor([1., 2.]))
    >>> jvp_fn(torch.tensor([1., 10.]))
    tensor([ 2., 40.])
    """
    output, apply, _ = _linear(func, primals, False)
    return output, lambda *tangents: apply(tangents)


def _linear(func: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool) -> tuple[Any, Callable[[tuple[Any, ...]], Any], Any]:
    """The value, and the derivative as a function of tangents: the gradient's gradient by its weights."""
    _check_primals(primals)
    level = _Level(grad_state.enabled)
    with _differentiating():
        inputs = level.enter(primals)
        output, aux = _with_aux(func(*inputs), has_aux, "jvp(f, primals, tangents)")
        outputs, rebuild = _tensor_leaves(output, "jvp(f, primals, tangents)")
        leaves = _flatten(inputs)[0]
        weights = [level._fresh(ops.zeros_like(o.detach())) for o in outputs]
        gradients = _gradients(outputs, leaves, weights)

    def apply(tangents: tuple[Any, ...]) -> Any:
        with _differentiating():
            found = _gradients(gradients, weights, _flatten(tangents)[0])
        return level.leave(rebuild(found))

    return level.leave(output), apply, level.leave(aux)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """``(func(*primals), derivative)`` in the direction of `tangents`.

    >>> torch.func.jvp(torch.sin, (torch.tensor(0.),), (torch.tensor(2.),))
    (tensor(0.), tensor(2.))
    """
    for what, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple):
            raise RuntimeError(f"jvp(f, primals, tangents): Expected {what} to be a tuple. E.g. it should be valid to call f(*primals).")
    if _structure(primals) != _structure(tangents):
        raise RuntimeError("jvp(f, primals, tangents): Expected primals and tangents to have the same python structure.")
    output, apply, aux = _linear(func, primals, has_aux)
    return (output, apply(tangents), aux) if has_aux else (output, apply(tangents))


def jacrev(func: Callable[..., Any], argnums: ArgNums = 0, *, has_aux: bool = False, chunk_size: int | None = None) -> Callable[..., Any]:
    """A function that gives the Jacobian of `func`, of the shape of the output followed by that of the input.

    >>> torch.func.jacrev(torch.sin)(torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")
    return _jacobian(func, argnums, has_aux, "jacrev")


def jacfwd(func: Callable[..., Any], argnums: ArgNums = 0, has_aux: bool = False, *, randomness: str = "error") -> Callable[..., Any]:
    """The same as `jacrev`, which is quicker here than a tangent for each input.

    >>> torch.func.jacfwd(torch.sin)(torch.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _jacobian(func, argnums, has_aux, "jacfwd")


def _jacobian(func: Callable[..., Any], argnums: ArgNums, has_aux: bool, api: str) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        level = _Level(grad_state.enabled)
        positions = _positions(argnums, len(args))
        if api == "jacfwd":
            _check_primals([args[n] for n in positions])
        with _differentiating():
            inputs = [level.enter(arg) if n in positions else arg for n, arg in enumerate(args)]
            output, aux = _with_aux(func(*inputs, **kwargs), has_aux, api)
            outputs, rebuild_output = _tensor_leaves(output, api)
            leaves, rebuild = _flatten(tuple(inputs[n] for n in positions))
            found = []
            for out in outputs:
                rows = [_gradients([element], leaves) for element in out.reshape(-1).unbind()]
                columns = zip(*rows, strict=True) if rows else [()] * len(leaves)
                jacobians = [
                    ops.stack(column).view((*out.shape, *leaf.shape)) if column else ops.zeros((*out.shape, *leaf.shape), dtype=leaf.dtype)
                    for column, leaf in zip(columns, leaves, strict=True)
                ]
                below = rebuild(jacobians)
                found.append(below[0] if isinstance(argnums, int) else below)
        result = level.leave(rebuild_output(found))
        return (result, level.leave(aux)) if has_aux else result

    return wrapper


def hessian(func: Callable[..., Any], argnums: ArgNums = 0) -> Callable[..., Any]:
    """A function that gives the Hessian of `func`.

    >>> torch.func.hessian(lambda x: (x ** 3).sum())(torch.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


def _dims_of_leaves(dims: Any, tree: Any) -> list[Any] | None:
    """One dim for each leaf, from a tree of dims that may stop early; None if it does not fit."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(_flatten(tree)[0])
    if isinstance(tree, Mapping):
        if not isinstance(dims, Mapping) or list(dims) != list(tree):
            return None
        pairs = [(dims[key], tree[key]) for key in tree]
    elif isinstance(tree, (tuple, list)) and isinstance(dims, (tuple, list)) and len(dims) == len(tree):
        pairs = list(zip(dims, tree, strict=True))
    else:
        return None
    found: list[Any] = []
    for below, child in pairs:
        part = _dims_of_leaves(below, child)
        if part is None:
            return None
        found += part
    return found


def vmap(
    func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable[..., Any]:
    """`func` over a dim of its inputs, with the results stacked.

    `func` is called once for each element, so it costs what the loop costs.

    >>> torch.vmap(torch.dot)(torch.ones(2, 3), torch.ones(2, 3))
    tensor([3., 3.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if not (chunk_size is None or chunk_size > 0):
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        leaves, dims, rebuild = _mapped_inputs(func, in_dims, args)
        sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
        if not sizes:
            raise ValueError("vmap: Expected at least one Tensor to vmap over")
        if any(size != sizes[0] for size in sizes):
            raise ValueError(f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension")
        if sizes[0]:
            parts = [leaf if dim is None else leaf.unbind(dim) for leaf, dim in zip(leaves, dims, strict=True)]
        else:  # one call on zeros tells the shapes
            parts = [leaf if dim is None else (ops.zeros_like(leaf).sum(dim, dtype=leaf.dtype),) for leaf, dim in zip(leaves, dims, strict=True)]
        results = []
        draws = _Draws(randomness)
        for n in range(sizes[0] or 1):
            with draws:
                results.append(func(*rebuild([part if dim is None else part[n] for part, dim in zip(parts, dims, strict=True)]), **kwargs))
        return _stacked(func, results, out_dims, sizes[0])

    return wrapper


class _Draws:
    """Keeps `vmap`'s promise on random numbers, call by call."""

    def __init__(self, randomness: str) -> None:
        self.randomness = randomness
        self.first: Tensor | None = None

    def __enter__(self) -> None:
        if self.randomness == "different":
            return
        from .random import get_rng_state, set_rng_state

        if self.first is None:
            self.first = get_rng_state()
        elif self.randomness == "same":
            set_rng_state(self.first)

    def __exit__(self, kind: Any, *exc: object) -> None:
        if self.randomness != "error" or kind is not None:
            return
        from .random import get_rng_state

        assert self.first is not None
        if not bool((get_rng_state() == self.first).all()):
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use the 'same' or 'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )


def _mapped_inputs(func: Callable[..., Any], in_dims: Any, args: tuple[Any, ...]) -> tuple[list[Any], list[int | None], Callable[[Sequence[Any]], Any]]:
    """The leaves of the arguments and the dim of each to map over."""
    where = f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, tuple, list)):
        raise ValueError(f"{where}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs, got: {type(in_dims)}.")
    if not args:
        raise ValueError(f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with no inputs. The latter is unsupported.")
    leaves, rebuild = _flatten(args)
    dims = _dims_of_leaves(tuple(in_dims) if isinstance(in_dims, list) else in_dims, args)
    if dims is None:
        raise ValueError(f"{where}: in_dims is not compatible with the structure of `inputs`.")
    found: list[int | None] = []
    for leaf, dim in zip(leaves, dims, strict=True):
        if dim is not None and not isinstance(dim, int):
            raise ValueError(f"{where}: Got in_dim={dim} for an input but in_dim must be either an integer dimension or None.")
        if dim is not None and not isinstance(leaf, Tensor):
            raise ValueError(f"{where}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, please use None as the respective in_dim")
        if dim is not None and not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(f"{where}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality {leaf.dim()} so expected in_dim to satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}.")
        found.append(None if dim is None else dim % leaf.dim())
    return leaves, found, rebuild


def _stacked(func: Callable[..., Any], results: list[Any], out_dims: Any, size: int) -> Any:
    leaves, rebuild = _flatten(results[0])
    dims = _dims_of_leaves(out_dims[0] if isinstance(out_dims, tuple) and len(out_dims) == 1 and isinstance(results[0], Tensor) else out_dims, results[0])
    if dims is None:
        raise ValueError(f"vmap({_name(func)}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`.")
    flat = [_flatten(result)[0] for result in results]
    found = []
    for n, dim in enumerate(dims):
        if dim is None:
            found.append(leaves[n])
            continue
        if not isinstance(leaves[n], Tensor):
            raise ValueError(f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(leaves[n])}. Did you mean to set out_dims= to None for output?")
        together = ops.stack([row[n] for row in flat], dim)
        found.append(together if size else together.narrow(dim, 0, 0))
    return rebuild(found)


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """``module(*args, **kwargs)`` with the given tensors, by dotted name, in place of the module's own.

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> torch.func.functional_call(layer, {"weight": torch.ones(1, 2)}, torch.ones(2))
    tensor([2.])
    """
    if isinstance(parameter_and_buffer_dicts, Mapping):
        tensors = dict(parameter_and_buffer_dicts)
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        if not all(isinstance(each, Mapping) for each in parameter_and_buffer_dicts):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
        names = [name for each in parameter_and_buffer_dicts for name in each]
        if repeated := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
        tensors = {name: tensor for each in parameter_and_buffer_dicts for name, tensor in each.items()}
    else:
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(parameter_and_buffer_dicts)}")
    return call_with_tensors(module, tensors, args, kwargs, tie_weights=tie_weights, strict=strict)


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of modules of one class, stacked by name, for `vmap` over an ensemble.

    >>> params, buffers = torch.func.stack_module_state([nn.Linear(2, 3) for _ in range(4)])
    >>> params["weight"].shape
    torch.Size([4, 3, 2])
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = [dict(model.named_parameters()) for model in models]
    buffers = [dict(model.named_buffers()) for model in models]
    stacked, kept = ({name: _stacked_leaf([each[name] for each in group], name) for name in group[0]} for group in (params, buffers))
    return stacked, kept


def _stacked_leaf(tensors: list[Tensor], name: str) -> Tensor:
    if len({t.requires_grad for t in tensors}) > 1:
        raise RuntimeError(f"Expected {name} from each model to have the same .requires_grad")
    return ops.stack([t.detach() for t in tensors]).requires_grad_(tensors[0].requires_grad)


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Have every batch norm in `root` use the statistics of its batch, and keep none.

    >>> torch.func.replace_all_batch_norm_modules_(nn.BatchNorm1d(2)).running_mean is None
    True
    """
    from .nn.modules.batchnorm import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
