"""`MetricCollection`: several metrics that see the same batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..nn.container import ModuleDict
from ..tensor import Tensor
from .metric import Metric


class MetricCollection(ModuleDict):
    """Metrics, given as a list (named by class) or a dict (in order of name), updated and computed together.

    `prefix` and `postfix` are put around the names of the results. Metrics whose states turn out equal after the first
    update form a compute group, of which only one does the work from then on; ``compute_groups=False`` prevents that
    and a list of lists of names sets the groups.

    >>> from rushlight.metrics import MeanAbsoluteError, MeanSquaredError, MetricCollection
    >>> metrics = MetricCollection([MeanSquaredError(), MeanAbsoluteError()], prefix="val_")
    >>> metrics(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    {'val_MeanSquaredError': tensor(2.), 'val_MeanAbsoluteError': tensor(1.)}
    """

    _modules: dict[str, Metric]  # type: ignore[assignment]

    def __init__(
        self,
        metrics: Any,
        *additional_metrics: Metric,
        prefix: str | None = None,
        postfix: str | None = None,
        compute_groups: bool | list[list[str]] = True,
    ) -> None:
        super().__init__()
        self.prefix = _checked(prefix, "prefix")
        self.postfix = _checked(postfix, "postfix")
        self._compute_groups = compute_groups
        self._groups: dict[int, list[str]] = {}
        self._groups_known = False
        self.add_metrics(metrics, *additional_metrics)

    def add_metrics(self, metrics: Any, *additional_metrics: Metric) -> None:
        """Add metrics, given as to the constructor.

        >>> from rushlight.metrics import MetricCollection, SumMetric
        >>> metrics = MetricCollection([])
        >>> metrics.add_metrics({"total": SumMetric()})
        >>> list(metrics.keys())
        ['total']
        """
        if isinstance(metrics, Metric):
            metrics = [metrics]
        if isinstance(metrics, MetricCollection):
            for name, metric in metrics.items(keep_base=False):
                if name in self._modules:
                    raise ValueError(f"Metric with name '{name}' already exists in the collection.")
                self[name] = metric
        elif isinstance(metrics, Mapping):
            if additional_metrics:
                raise ValueError(
                    f"You have passes extra arguments {additional_metrics} which are not compatible"
                    f" with first passed dictionary {metrics} so they will be ignored."
                )
            for name in sorted(metrics):
                self._add(metrics[name], name, f"Value {metrics[name]} belonging to key {name} is not an instance of")
        elif isinstance(metrics, Sequence):
            extra = [metric for metric in additional_metrics if not isinstance(metric, Metric)]
            if extra:
                warnings.warn(
                    f"You have passes extra arguments {extra} which are not `Metric` so they will be ignored.",
                    UserWarning,
                    stacklevel=3,
                )
            for metric in [*metrics, *(m for m in additional_metrics if isinstance(m, Metric))]:
                self._add(metric, None, f"Input {metric} to `MetricCollection` is not a instance of")
        else:
            raise ValueError(
                "Unknown input to MetricCollection. Expected, `Metric`, `MetricCollection` or `dict`/`sequence` of the"
                f" previous, but got {metrics}"
            )
        self._start_groups()

    def _add(self, metric: Any, name: str | None, complaint: str) -> None:
        if isinstance(metric, MetricCollection):
            for inner, each in metric.items(keep_base=False):
                self[inner if name is None else f"{name}_{inner}"] = each
            return
        if not isinstance(metric, Metric):
            raise ValueError(f"{complaint} `torchmetrics.Metric` or `torchmetrics.MetricCollection`")
        if name is None:
            name = type(metric).__name__
            if name in self._modules:
                raise ValueError(f"Encountered two metrics both named {name}")
        self[name] = metric

    def _start_groups(self) -> None:
        self._groups_known = isinstance(self._compute_groups, list)
        groups = [list(group) for group in self._compute_groups] if isinstance(self._compute_groups, list) else []
        for name in (name for group in groups for name in group):
            if name not in self._modules:
                raise ValueError(
                    f"Input {name} in `compute_groups` argument does not match a metric in the collection."
                    f" Please make sure that {self._compute_groups} matches {self.keys(keep_base=True)}"
                )
        if self._compute_groups:
            named = {name for group in groups for name in group}
            groups += [[name] for name in self._modules if name not in named]
        self._groups = dict(enumerate(groups))

    @property
    def compute_groups(self) -> dict[int, list[str]]:
        """The names of the metrics that share their states, by group."""
        return self._groups

    def _find_groups(self) -> None:
        groups: list[list[str]] = []
        for name, metric in self._modules.items():
            for group in groups:
                if _same_states(self._modules[group[0]], metric):
                    group.append(name)
                    break
            else:
                groups.append([name])
        self._groups = dict(enumerate(groups))
        self._groups_known = True

    def _share_states(self) -> None:
        for leader, *others in self._groups.values():
            source = self._modules[leader]
            for metric in (self._modules[name] for name in others):
                for name, state in source.metric_state.items():
                    setattr(metric, name, list(state) if isinstance(state, list) else state)
                metric._update_count = source._update_count
                metric._computed = None

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Update every metric, each with those of the keyword arguments that it takes.

        >>> from rushlight.metrics import MaxMetric, MetricCollection, SumMetric
        >>> metrics = MetricCollection([MaxMetric(), SumMetric()])
        >>> metrics.update(torch.tensor([1.0, 3.0]))
        >>> metrics["SumMetric"].compute()
        tensor(4.)
        """
        active = [group[0] for group in self._groups.values()] if self._groups_known else list(self._modules)
        for metric in (self._modules[name] for name in active):
            metric.update(*args, **metric._filter_kwargs(**kwargs))
        if self._groups_known:
            self._share_states()
        elif self._compute_groups:
            self._find_groups()

    def forward(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Update every metric and return their values on this batch alone.

        >>> from rushlight.metrics import MaxMetric, MetricCollection, SumMetric
        >>> metrics = MetricCollection([MaxMetric(), SumMetric()])
        >>> metrics(torch.tensor([1.0, 3.0]))
        {'MaxMetric': tensor(3.), 'SumMetric': tensor(4.)}
        """
        return self._named({k: m(*args, **m._filter_kwargs(**kwargs)) for k, m in self._modules.items()})

    def compute(self) -> dict[str, Any]:
        """The values on all batches, by name. A metric whose value is a dict adds its entries.

        >>> from rushlight.metrics import MaxMetric, MetricCollection, SumMetric
        >>> metrics = MetricCollection([MaxMetric(), SumMetric()])
        >>> metrics.update(torch.tensor([1.0, 3.0]))
        >>> metrics.compute()
        {'MaxMetric': tensor(3.), 'SumMetric': tensor(4.)}
        """
        return self._named({k: m.compute() for k, m in self._modules.items()})

    def _named(self, values: dict[str, Any]) -> dict[str, Any]:
        inner = [key for value in values.values() for key in (value if isinstance(value, dict) else ())]
        ambiguous = len(set(inner)) < len(inner)
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, dict):
                flat |= {f"{name}_{key}" if ambiguous else key: item for key, item in value.items()}
            else:
                flat[name] = value
        return {self._full_name(name): value for name, value in flat.items()}

    def _full_name(self, name: str) -> str:
        return f"{self.prefix or ''}{name}{self.postfix or ''}"

    def reset(self) -> None:
        """Reset every metric."""
        for metric in self._modules.values():
            metric.reset()

    def clone(self, prefix: str | None = None, postfix: str | None = None) -> MetricCollection:
        """A deep copy, with another prefix or postfix.

        >>> from rushlight.metrics import MaxMetric, MetricCollection, SumMetric
        >>> metrics = MetricCollection([MaxMetric(), SumMetric()])
        >>> list(metrics.clone(prefix="val_").keys())
        ['val_MaxMetric', 'val_SumMetric']
        """
        collection = copy.deepcopy(self)
        if prefix:
            collection.prefix = _checked(prefix, "prefix")
        if postfix:
            collection.postfix = _checked(postfix, "postfix")
        return collection

    def persistent(self, mode: bool = True) -> None:
        """Whether `state_dict` has the metrics' states from now on."""
        for metric in self._modules.values():
            metric.persistent(mode)

    def set_dtype(self, dst_type: Any) -> MetricCollection:
        """Convert the states of every metric to `dst_type`."""
        for metric in self._modules.values():
            metric.set_dtype(dst_type)
        return self

    @property
    def metric_state(self) -> dict[str, dict[str, Any]]:
        """The states of every metric, by name."""
        return {name: metric.metric_state for name, metric in self.items()}

    def keys(self, keep_base: bool = False) -> Iterable[str]:  # type: ignore[override]
        """The names, with prefix and postfix unless `keep_base`.

        >>> from rushlight.metrics import MetricCollection, SumMetric
        >>> metrics = MetricCollection([SumMetric()], prefix="val_")
        >>> list(metrics.keys()), list(metrics.keys(keep_base=True))
        (['val_SumMetric'], ['SumMetric'])
        """
        return self._modules.keys() if keep_base else {self._full_name(name): None for name in self._modules}.keys()

    def items(self, keep_base: bool = False) -> Iterable[tuple[str, Metric]]:  # type: ignore[override]
        return dict(zip(self.keys(keep_base), self._modules.values(), strict=True)).items()

    def values(self) -> Iterable[Metric]:  # type: ignore[override]
        return self._modules.values()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: str) -> Metric:
        return self._modules[key.removeprefix(self.prefix or "").removesuffix(self.postfix or "")]

    def __repr__(self) -> str:
        text = super().__repr__()[:-2]
        if self.prefix:
            text += f",\n  prefix={self.prefix}{',' if self.postfix else ''}"
        if self.postfix:
            text += f"{'' if self.prefix else ','}\n  postfix={self.postfix}"
        return text + "\n)"


def _checked(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"Expected input `{name}` to be a string, but got {type(value)}")


def _same_states(a: Metric, b: Metric) -> bool:
    ours, theirs = a.metric_state, b.metric_state
    if not ours or ours.keys() != theirs.keys():
        return False
    return all(_equal(state, theirs[name]) for name, state in ours.items())


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.allclose(b.to(a.dtype))
    return isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and all(map(_equal, a, b))
