"""Automatic differentiation, `torch.autograd`. The graph itself is recorded by `rushlight/graph.py`."""

from __future__ import annotations

from ..grad_mode import (
    enable_grad as enable_grad,
    inference_mode as inference_mode,
    is_grad_enabled as is_grad_enabled,
    is_inference_mode_enabled as is_inference_mode_enabled,
    no_grad as no_grad,
    set_grad_enabled as set_grad_enabled,
)
from . import (
    forward_ad as forward_ad,
    function as function,
    functional as functional,
    grad_mode as grad_mode,
    graph as graph,
)
from .anomaly_mode import (
    detect_anomaly as detect_anomaly,
    is_anomaly_check_nan_enabled as is_anomaly_check_nan_enabled,
    is_anomaly_enabled as is_anomaly_enabled,
    set_anomaly_enabled as set_anomaly_enabled,
    set_detect_anomaly as set_detect_anomaly,
)
from .backward_pass import (
    backward as backward,
    grad as grad,
    run_backward as run_backward,
)
from .function import Function as Function
from .gradcheck import (
    GradcheckError as GradcheckError,
    gradcheck as gradcheck,
    gradgradcheck as gradgradcheck,
)
from .variable import Variable as Variable
