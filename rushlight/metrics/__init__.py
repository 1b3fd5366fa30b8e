"""Metrics with torchmetrics' interface: https://lightning.ai/docs/torchmetrics

Under `rushlight run` this is what `import torchmetrics` imports where torchmetrics itself is not installed.
"""

from . import (
    classification as classification,
    functional as functional,
    regression as regression,
    utilities as utilities,
)
from .aggregation import (
    CatMetric as CatMetric,
    MaxMetric as MaxMetric,
    MeanMetric as MeanMetric,
    MinMetric as MinMetric,
    SumMetric as SumMetric,
)
from .classification import (
    AUROC as AUROC,
    ROC as ROC,
    Accuracy as Accuracy,
    AveragePrecision as AveragePrecision,
    CohenKappa as CohenKappa,
    ConfusionMatrix as ConfusionMatrix,
    F1Score as F1Score,
    FBetaScore as FBetaScore,
    HammingDistance as HammingDistance,
    JaccardIndex as JaccardIndex,
    MatthewsCorrCoef as MatthewsCorrCoef,
    Precision as Precision,
    PrecisionRecallCurve as PrecisionRecallCurve,
    Recall as Recall,
    Specificity as Specificity,
    StatScores as StatScores,
)
from .collections import MetricCollection as MetricCollection
from .metric import CompositionalMetric as CompositionalMetric, Metric as Metric
from .regression import (
    CosineSimilarity as CosineSimilarity,
    ExplainedVariance as ExplainedVariance,
    MeanAbsoluteError as MeanAbsoluteError,
    MeanAbsolutePercentageError as MeanAbsolutePercentageError,
    MeanSquaredError as MeanSquaredError,
    MeanSquaredLogError as MeanSquaredLogError,
    PearsonCorrCoef as PearsonCorrCoef,
    R2Score as R2Score,
    SymmetricMeanAbsolutePercentageError as SymmetricMeanAbsolutePercentageError,
)

__version__ = "1.9.0"
