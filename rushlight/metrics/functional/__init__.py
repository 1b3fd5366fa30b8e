"""Metrics as functions of one batch."""

from .classification import (
    accuracy as accuracy,
    auroc as auroc,
    average_precision as average_precision,
    confusion_matrix as confusion_matrix,
    f1_score as f1_score,
    fbeta_score as fbeta_score,
    precision as precision,
    precision_recall_curve as precision_recall_curve,
    recall as recall,
    roc as roc,
    specificity as specificity,
    stat_scores as stat_scores,
)
from .regression import (
    mean_absolute_error as mean_absolute_error,
    mean_squared_error as mean_squared_error,
    r2_score as r2_score,
)
