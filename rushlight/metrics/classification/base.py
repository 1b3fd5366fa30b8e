"""What the classification metrics share."""

from __future__ import annotations

from typing import Any, NoReturn

from ..metric import Metric


class TaskWrapper(Metric):
    """A metric for any task: making one gives the metric of the task that is asked for."""

    def update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__} metric does not have a global `update` method. Use the task specific metric."
        )

    def compute(self) -> NoReturn:
        raise NotImplementedError(
            f"{type(self).__name__} metric does not have a global `compute` method. Use the task specific metric."
        )
