"""Metrics as functions of one batch."""

from .classification import (
    accuracy as accuracy,
    auroc as auroc,
    average_precision as average_precision,
    cohen_kappa as cohen_kappa,
    confusion_matrix as confusion_matrix,
    f1_score as f1_score,
    fbeta_score as fbeta_score,
    hamming_distance as hamming_distance,
    jaccard_index as jaccard_index,
    matthews_corrcoef as matthews_corrcoef,
    precision as precision,
    precision_recall_curve as precision_recall_curve,
    recall as recall,
    roc as roc,
    specificity as specificity,
    stat_scores as stat_scores,
)
from .regression import (
    cosine_similarity as cosine_similarity,
    explained_variance as explained_variance,
    mean_absolute_error as mean_absolute_error,
    mean_absolute_percentage_error as mean_absolute_percentage_error,
    mean_squared_error as mean_squared_error,
    mean_squared_log_error as mean_squared_log_error,
    pearson_corrcoef as pearson_corrcoef,
    r2_score as r2_score,
    symmetric_mean_absolute_percentage_error as symmetric_mean_absolute_percentage_error,
)
