"""L-BFGS with an optional strong Wolfe line search, after minFunc (https://www.cs.ubc.ca/~schmidtm/Software/minFunc.html)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import ops
from ..autograd import enable_grad, no_grad
from ..tensor import Tensor
from .optimizer import Closure, Optimizer, ParamsT
from .rule_optimizer import check_lr


class Trial(NamedTuple):
    """The objective at one point of a line search."""

    t: Any
    loss: float
    grad: Tensor
    slope: Tensor


def cubic_minimum(first: Trial, second: Trial, bounds: tuple[Any, Any] | None = None) -> Any:
    """The minimum of the cubic through two trials, within ``bounds`` (by default, between the trials)."""
    if first.t > second.t:
        first, second = second, first
    low, high = bounds if bounds is not None else (first.t, second.t)
    d1 = first.slope + second.slope - 3 * (first.loss - second.loss) / (first.t - second.t)
    d2_square = d1**2 - first.slope * second.slope
    if not d2_square >= 0:
        return (low + high) / 2.0
    d2 = d2_square.sqrt()
    width = second.t - first.t
    position = second.t - width * ((second.slope + d2 - d1) / (second.slope - first.slope + 2 * d2))
    return min(max(position, low), high)


def strong_wolfe(
    evaluate: Callable[[Any], Trial],
    start: Trial,
    t: Any,
    direction: Tensor,
    max_evals: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple[Trial, int]:
    """A point that satisfies the strong Wolfe conditions, or the best one found, and the number of evaluations."""

    def decreases_enough(trial: Trial) -> bool:
        return not trial.loss > start.loss + c1 * trial.t * start.slope

    def is_flat_enough(trial: Trial) -> bool:
        return bool(abs(trial.slope) <= -c2 * start.slope)

    # Grow the step until a minimum lies between two trials.
    previous, trial, evals = start, evaluate(t), 1
    iterations = 0
    while iterations < max_evals:
        if not decreases_enough(trial) or (iterations > 1 and trial.loss >= previous.loss):
            bracket = [previous, trial]
            break
        if is_flat_enough(trial):
            return trial, evals
        if trial.slope >= 0:
            bracket = [previous, trial]
            break
        bounds = (trial.t + 0.01 * (trial.t - previous.t), trial.t * 10)
        t = cubic_minimum(previous, trial, bounds)
        previous, trial = trial, evaluate(t)
        evals += 1
        iterations += 1
    else:
        bracket = [start, trial]

    # Narrow the bracket.
    direction_norm = direction.abs().max()
    stalled = False
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    while iterations < max_evals:
        left, right = sorted(point.t for point in bracket)
        if (right - left) * direction_norm < tolerance_change:
            break
        t = cubic_minimum(bracket[0], bracket[1])
        # A point close to an end is taken once; after that the search moves away from the end.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stalled or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        trial = evaluate(t)
        evals += 1
        iterations += 1
        if not decreases_enough(trial) or trial.loss >= bracket[low].loss:
            bracket[1 - low] = trial
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if is_flat_enough(trial):
            return trial, evals
        if trial.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = trial
    return bracket[low], evals


#: What one step leaves to the next, in the order in which the state has it. Kept once a step has ended without an error.
_KEPT = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ``history_size`` gradients. ``step`` needs a closure, which it calls many times.

    ``line_search_fn`` is None or "strong_wolfe". All parameters form one group.
    Source: Nocedal and Wright, Numerical Optimization, chapter 7

    >>> weight = nn.Parameter(torch.tensor([3.0]))
    >>> optimizer = torch.optim.LBFGS([weight], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((weight - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    4.0
    >>> weight.detach()
    tensor([1.])
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def _flat_grad(self) -> Tensor:
        grads = [param.new_zeros(param.numel()) if param.grad is None else param.grad for param in self._params]
        return ops.cat([(ops.view_as_real(g) if g.is_complex() else g).reshape(-1) for g in grads], 0)

    def _move(self, step_size: Any, direction: Tensor) -> None:
        offset = 0
        for param in self._params:
            real = ops.view_as_real(param) if param.is_complex() else param
            size = real.numel()
            real.add_(direction[offset : offset + size].view_as(real), alpha=step_size)
            offset += size

    def _direction(
        self, state: dict[str, Any], kept: dict[str, Any], flat_grad: Tensor, history_size: int
    ) -> Tensor:
        """The product of minus the gradient with the approximate inverse Hessian (the two-loop recursion)."""
        if state["n_iter"] == 1:
            kept.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return flat_grad.neg()
        change = flat_grad.sub(kept["prev_flat_grad"])
        step = kept["d"].mul(kept["t"])
        curvature = change.dot(step)
        changes, steps, ro = kept["old_dirs"], kept["old_stps"], kept["ro"]
        if curvature > 1e-10:
            if len(changes) == history_size:
                for history in (changes, steps, ro):
                    history.pop(0)
            changes.append(change)
            steps.append(step)
            ro.append(1.0 / curvature)
            kept["H_diag"] = curvature / change.dot(change)
        weights = state.setdefault("al", [None] * history_size)
        direction = flat_grad.neg()
        for i in reversed(range(len(changes))):
            weights[i] = steps[i].dot(direction) * ro[i]
            direction.add_(changes[i], alpha=-weights[i])
        direction = direction * kept["H_diag"]
        for i in range(len(changes)):
            direction.add_(steps[i], alpha=weights[i] - changes[i].dot(direction) * ro[i])
        return direction

    def _search(self, closure: Closure, t: Any, direction: Tensor, start: Trial, max_evals: int) -> tuple[Trial, int]:
        origin = [param.clone() for param in self._params]

        def evaluate(t: Any) -> Trial:
            self._move(t, direction)
            loss = float(closure())
            grad = self._flat_grad()
            for param, value in zip(self._params, origin, strict=True):
                param.copy_(value)
            return Trial(t, loss, grad, grad.dot(direction))

        return strong_wolfe(evaluate, start, t, direction, max_evals)

    @no_grad()
    def step(self, closure: Closure) -> Any:  # type: ignore[override]
        """Take up to ``max_iter`` iterations. ``closure`` clears the gradients, computes the loss and its gradients.

        >>> weight = nn.Parameter(torch.tensor([3.0]))
        >>> optimizer = torch.optim.LBFGS([weight], lr=0.5)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((weight - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure)
        tensor(4., grad_fn=<SumBackward0>)
        """
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        lr = group["lr"]
        if isinstance(lr, Tensor) and lr.dim():
            lr = lr.squeeze()
        max_iter, max_eval = group["max_iter"], group["max_eval"]
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]
        line_search_fn = group["line_search_fn"]
        # The state of all parameters is kept with the first one.
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first_loss = closure()
        loss = float(first_loss)
        evals = 1
        state["func_evals"] += 1
        flat_grad = self._flat_grad()
        if flat_grad.abs().max() <= tolerance_grad:
            return first_loss

        kept = {name: state.get(name) for name in _KEPT}
        for iteration in range(1, max_iter + 1):
            state["n_iter"] += 1
            direction = self._direction(state, kept, flat_grad, group["history_size"])
            t = min(1.0, 1.0 / flat_grad.abs().sum()) * lr if state["n_iter"] == 1 else lr
            previous_loss = loss
            kept.update(d=direction, t=t, prev_flat_grad=flat_grad, prev_loss=loss)
            slope = flat_grad.dot(direction)
            if slope > -tolerance_change:
                break

            new_evals = 0
            if line_search_fn is not None:
                if line_search_fn != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = Trial(0, loss, flat_grad, slope)
                trial, new_evals = self._search(closure, t, direction, start, max_eval - evals)
                t, loss, flat_grad = trial.t, trial.loss, trial.grad
                self._move(t, direction)
            else:
                self._move(t, direction)
                # Evaluating after the last iteration would serve nobody.
                if iteration != max_iter:
                    loss = float(closure())
                    flat_grad = self._flat_grad()
                    new_evals = 1
            kept["t"] = t
            evals += new_evals
            state["func_evals"] += new_evals

            if iteration == max_iter or evals >= max_eval:
                break
            if flat_grad.abs().max() <= tolerance_grad:
                break
            if direction.mul(t).abs().max() <= tolerance_change:
                break
            if abs(loss - previous_loss) < tolerance_change:
                break
        state.update(kept)
        return first_loss
