"""Metrics agree with scikit-learn, over batches and at once, and keep torchmetrics' interface."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

import rushlight as torch
from rushlight import metrics, nn
from rushlight.metrics import classification as C, functional as F

CLASSES = 4
LABELS = 3
AVERAGES = ("micro", "macro", "weighted", "none")


def batches(
    task: str, seed: int = 0, count: int = 3, size: int = 40
) -> tuple[list[Any], list[Any], np.ndarray, np.ndarray]:
    """Batches of scores and targets, and the same in one NumPy array each."""
    rng = np.random.default_rng(seed)
    shape = {"binary": (), "multiclass": (CLASSES,), "multilabel": (LABELS,)}[task]
    scores = rng.random((count * size, *shape), dtype=np.float32).round(2)  # rounded, so that there are ties
    if task == "multiclass":
        targets = np.where(rng.random(count * size) < 0.5, scores.argmax(1), rng.integers(0, CLASSES, count * size))
    else:
        targets = (scores + rng.normal(0, 0.4, scores.shape) > 0.5).astype(np.int64)
    split = [torch.from_numpy(part) for part in np.split(scores, count)]
    return split, [torch.from_numpy(part) for part in np.split(targets, count)], scores, targets


def accumulated(metric: Any, scores: list[Any], targets: list[Any]) -> Any:
    for preds, target in zip(scores, targets, strict=True):
        metric.update(preds, target)
    return metric.compute()


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def sklearn_average(average: str) -> str | None:
    return None if average == "none" else average


SCORES = {
    "Precision": sk.precision_score,
    "Recall": sk.recall_score,
    "F1Score": sk.f1_score,
    "FBetaScore": lambda *args, **kwargs: sk.fbeta_score(*args, beta=2.0, **kwargs),
}


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", SCORES)
def test_precision_recall_and_f_scores_by_class(name: str, task: str, average: str) -> None:
    scores, targets, all_scores, all_targets = batches(task)
    size = {"num_classes": CLASSES} if task == "multiclass" else {"num_labels": LABELS}
    beta = {"beta": 2.0} if name == "FBetaScore" else {}
    metric = getattr(metrics, name)(task=task, average=average, **size, **beta)
    predicted = all_scores.argmax(1) if task == "multiclass" else all_scores > 0.5
    expected = SCORES[name](all_targets, predicted, average=sklearn_average(average), zero_division=0)
    close(accumulated(metric, scores, targets), expected)
    function = getattr(F, {"F1Score": "f1_score", "FBetaScore": "fbeta_score"}.get(name, name.lower()))
    whole = function(torch.cat(scores), torch.cat(targets), task=task, average=average, **size, **beta)
    close(whole, expected)


@pytest.mark.parametrize("name", SCORES)
def test_precision_recall_and_f_scores_of_two_classes(name: str) -> None:
    scores, targets, all_scores, all_targets = batches("binary")
    beta = {"beta": 2.0} if name == "FBetaScore" else {}
    metric = getattr(metrics, name)(task="binary", threshold=0.3, **beta)
    close(accumulated(metric, scores, targets), SCORES[name](all_targets, all_scores > np.float32(0.3)))


def test_accuracy_is_micro_by_default_and_macro_is_the_mean_recall() -> None:
    scores, targets, all_scores, all_targets = batches("multiclass")
    predicted = all_scores.argmax(1)
    micro = metrics.Accuracy(task="multiclass", num_classes=CLASSES)
    close(accumulated(micro, scores, targets), sk.accuracy_score(all_targets, predicted))
    macro = C.MulticlassAccuracy(num_classes=CLASSES)
    close(accumulated(macro, scores, targets), sk.balanced_accuracy_score(all_targets, predicted))


@pytest.mark.parametrize("k", [2, 3])
def test_top_k_accuracy(k: int) -> None:
    rng = np.random.default_rng(5)
    scores = rng.permuted(np.tile(np.arange(CLASSES, dtype=np.float32), (60, 1)), axis=1)  # no ties
    targets = rng.integers(0, CLASSES, 60)
    found = F.accuracy(
        torch.from_numpy(scores), torch.from_numpy(targets), task="multiclass", num_classes=CLASSES, top_k=k
    )
    close(found, sk.top_k_accuracy_score(targets, scores, k=k, labels=range(CLASSES)))


def test_binary_and_multilabel_accuracy_count_every_answer() -> None:
    for task, size in (("binary", {}), ("multilabel", {"num_labels": LABELS})):
        scores, targets, all_scores, all_targets = batches(task)
        metric = metrics.Accuracy(task=task, **size)
        close(accumulated(metric, scores, targets), ((all_scores > 0.5) == all_targets).mean())


def test_specificity_is_the_recall_of_the_negatives() -> None:
    scores, targets, all_scores, all_targets = batches("binary")
    expected = sk.recall_score(all_targets, all_scores > 0.5, pos_label=0)
    close(accumulated(metrics.Specificity(task="binary"), scores, targets), expected)


def test_stat_scores() -> None:
    preds, target = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([0, 1, 0, 1, 1])
    assert F.stat_scores(preds, target, task="binary").tolist() == [2, 1, 1, 1, 3]
    by_class = F.stat_scores(preds, target, task="multiclass", num_classes=3, average="none")
    assert by_class.tolist() == [[1, 1, 2, 1, 2], [2, 1, 1, 1, 3], [0, 0, 5, 0, 0]]


def test_scores_outside_zero_and_one_are_taken_for_logits() -> None:
    logits, target = torch.tensor([-2.0, 0.3, 4.0]), torch.tensor([0, 0, 1])
    close(F.accuracy(logits, target, task="binary"), 2 / 3)
    close(F.accuracy(logits.sigmoid(), target, task="binary"), 2 / 3)


@pytest.mark.parametrize("ignore_index", [-1, 0])
def test_ignored_targets_do_not_count(ignore_index: int) -> None:
    scores, targets, all_scores, all_targets = batches("multiclass")
    marked = [target.masked_fill(torch.arange(len(target)) % 3 == 0, ignore_index) for target in targets]
    kept = np.concatenate([target.numpy() for target in marked]) != ignore_index
    metric = metrics.Accuracy(task="multiclass", num_classes=CLASSES, ignore_index=ignore_index)
    close(accumulated(metric, scores, marked), (all_scores.argmax(1) == all_targets)[kept].mean())


def test_samplewise_averages_give_one_value_a_sample() -> None:
    rng = np.random.default_rng(2)
    preds, target = rng.integers(0, CLASSES, (5, 30)), rng.integers(0, CLASSES, (5, 30))
    metric = C.MulticlassF1Score(num_classes=CLASSES, multidim_average="samplewise")
    metric.update(torch.from_numpy(preds[:2]), torch.from_numpy(target[:2]))
    metric.update(torch.from_numpy(preds[2:]), torch.from_numpy(target[2:]))
    close(metric.compute(), [sk.f1_score(t, p, average="macro") for p, t in zip(preds, target, strict=True)])


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_matrix(normalize: str | None) -> None:
    scores, targets, all_scores, all_targets = batches("multiclass")
    metric = metrics.ConfusionMatrix(task="multiclass", num_classes=CLASSES, normalize=normalize)
    expected = sk.confusion_matrix(all_targets, all_scores.argmax(1), normalize=normalize)
    found = accumulated(metric, scores, targets)
    assert found.dtype is (torch.int64 if normalize is None else torch.float32)
    close(found, expected)


def test_multilabel_confusion_matrix() -> None:
    scores, targets, all_scores, all_targets = batches("multilabel")
    metric = metrics.ConfusionMatrix(task="multilabel", num_labels=LABELS)
    close(accumulated(metric, scores, targets), sk.multilabel_confusion_matrix(all_targets, all_scores > 0.5))


def test_roc_and_precision_recall_curves() -> None:
    scores, targets, all_scores, all_targets = batches("binary")
    fpr, tpr, thresholds = accumulated(metrics.ROC(task="binary"), scores, targets)
    wanted = sk.roc_curve(all_targets, all_scores, drop_intermediate=False)
    close(fpr, wanted[0])
    close(tpr, wanted[1])
    close(thresholds[1:], wanted[2][1:])
    precision, recall, thresholds = accumulated(metrics.PrecisionRecallCurve(task="binary"), scores, targets)
    for found, expected in zip(
        (precision, recall, thresholds), sk.precision_recall_curve(all_targets, all_scores), strict=True
    ):
        close(found, expected)


@pytest.mark.parametrize("max_fpr", [None, 0.25])
def test_auroc_of_two_classes(max_fpr: float | None) -> None:
    scores, targets, all_scores, all_targets = batches("binary")
    metric = metrics.AUROC(task="binary", max_fpr=max_fpr)
    close(accumulated(metric, scores, targets), sk.roc_auc_score(all_targets, all_scores, max_fpr=max_fpr))


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize(
    ("name", "reference"), [("AUROC", sk.roc_auc_score), ("AveragePrecision", sk.average_precision_score)]
)
def test_areas_under_curves(name: str, reference: Any, task: str, average: str) -> None:
    scores, targets, all_scores, all_targets = batches(task)
    size = {"num_classes": CLASSES} if task == "multiclass" else {"num_labels": LABELS}
    if task == "multiclass":
        all_targets = np.eye(CLASSES, dtype=np.int64)[all_targets]
    metric = getattr(metrics, name)(task=task, average=average, **size)
    close(accumulated(metric, scores, targets), reference(all_targets, all_scores, average=average))


def test_thresholds_bound_the_memory_of_a_curve_and_meet_the_exact_one() -> None:
    scores, targets, all_scores, all_targets = batches("binary")
    every = torch.from_numpy(np.unique(np.append(all_scores, np.float32([0, 1]))))
    metric = metrics.AUROC(task="binary", thresholds=every)
    close(accumulated(metric, scores, targets), sk.roc_auc_score(all_targets, all_scores))
    assert metric.confmat.shape == (len(every), 2, 2) and not hasattr(metric, "preds")
    fpr, tpr, thresholds = F.roc(scores[0], targets[0], task="binary", thresholds=[0.0, 0.5, 1.0])
    assert thresholds.tolist() == [1.0, 0.5, 0.0] and fpr[-1] == tpr[-1] == 1


def test_a_curve_without_positives_warns() -> None:
    with pytest.warns(UserWarning, match="No positive samples in targets"):
        F.roc(torch.tensor([0.1, 0.9]), torch.tensor([0, 0]), task="binary")


def test_regression() -> None:
    rng = np.random.default_rng(1)
    preds, target = rng.normal(size=(2, 50)).astype(np.float32)
    halves = [list(map(torch.from_numpy, np.split(values, 2))) for values in (preds, target)]
    close(accumulated(metrics.MeanSquaredError(), *halves), sk.mean_squared_error(target, preds))
    close(accumulated(metrics.MeanSquaredError(squared=False), *halves), sk.root_mean_squared_error(target, preds))
    close(accumulated(metrics.MeanAbsoluteError(), *halves), sk.mean_absolute_error(target, preds))
    close(accumulated(metrics.R2Score(), *halves), sk.r2_score(target, preds))


@pytest.mark.parametrize("multioutput", ["raw_values", "uniform_average", "variance_weighted"])
def test_regression_with_several_outputs(multioutput: str) -> None:
    preds, target = np.random.default_rng(1).normal(size=(2, 50, 3)).astype(np.float32)
    tensors = torch.from_numpy(preds), torch.from_numpy(target)
    close(F.r2_score(*tensors, multioutput=multioutput), sk.r2_score(target, preds, multioutput=multioutput))
    by_output = sk.mean_squared_error(target, preds, multioutput="raw_values")
    close(F.mean_squared_error(*tensors, num_outputs=3), by_output)


def test_aggregates() -> None:
    expected = {"MeanMetric": 2.5, "SumMetric": 10.0, "MaxMetric": 4.0, "MinMetric": 1.0}
    for name, value in expected.items():
        metric = getattr(metrics, name)()
        metric.update(torch.tensor([3.0, 1.0]))
        metric.update(2)
        metric.update(torch.tensor([[4.0]]))
        assert metric.compute().item() == value
    cat = metrics.CatMetric()
    cat.update(torch.tensor([1.0, 2.0]))
    cat.update(3.0)
    assert cat.compute().tolist() == [1.0, 2.0, 3.0]
    weighted = metrics.MeanMetric()
    weighted.update(torch.tensor([1.0, 3.0]), weight=torch.tensor([3.0, 1.0]))
    assert weighted.compute().item() == 1.5


def test_aggregates_treat_nan_as_told() -> None:
    values = torch.tensor([1.0, float("nan"), 3.0])
    with pytest.raises(RuntimeError, match="Encountered `nan` values in tensor"):
        metrics.SumMetric(nan_strategy="error").update(values)
    with pytest.warns(UserWarning, match="Will be removed"):
        assert metrics.SumMetric()(values).item() == 4.0
    assert metrics.MeanMetric(nan_strategy="ignore")(values).item() == 2.0
    assert metrics.SumMetric(nan_strategy=10.0)(values).item() == 14.0


class Seen(metrics.Metric):
    """Counts values; `full` chooses how `forward` gets the value of one batch."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("count", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("values", default=[], dist_reduce_fx="cat")
        self.updates = 0

    def update(self, x: Any, extra: int = 0) -> None:
        self.updates += 1
        self.count = self.count + x.numel() + extra
        self.values.append(x)

    def compute(self) -> Any:
        return self.count


class SeenTwice(Seen):
    full_state_update = True


@pytest.mark.parametrize(("cls", "updates"), [(Seen, 1), (SeenTwice, 2)])
def test_calling_a_metric_gives_the_batch_and_keeps_the_whole(cls: Any, updates: int) -> None:
    metric = cls()
    assert metric(torch.ones(3)).item() == 3 and metric.updates == updates
    assert metric(torch.ones(4)).item() == 4
    assert metric.compute().item() == 7 and metric.update_count == 2
    assert torch.cat(metric.values).numel() == 7
    metric.reset()
    assert not metric.update_called and metric.values == []
    with pytest.warns(UserWarning, match="was called before the ``update`` method"):
        assert metric.compute().item() == 0


def test_compute_is_cached_until_the_next_update() -> None:
    metric = Seen()
    metric.update(torch.ones(3))
    first = metric.compute()
    assert metric.compute() is first
    first += 100
    metric.update(torch.ones(1))
    assert metric.compute().item() == 4


def test_states_are_in_the_state_dict_only_when_persistent() -> None:
    metric = metrics.MeanMetric()
    metric.update(3.0)
    model = nn.Module()
    model.metric = metric
    assert list(model.state_dict()) == []
    metric.persistent(True)
    saved = model.state_dict()
    assert list(saved) == ["metric.mean_value", "metric.weight"]
    fresh = nn.Module()
    fresh.metric = metrics.MeanMetric()
    fresh.metric.persistent(True)
    fresh.load_state_dict(saved)
    fresh.metric.update(5.0)
    assert fresh.metric.compute().item() == 4.0


def test_metrics_are_copied_and_pickled_with_their_states() -> None:
    metric = metrics.Accuracy(task="binary")
    metric.update(torch.tensor([1, 0]), torch.tensor([1, 1]))
    for other in (metric.clone(), copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        other.update(torch.tensor([0, 0]), torch.tensor([0, 0]))
        assert other.compute().item() == 0.75
    assert metric.compute().item() == 0.5
    metric.merge_state(other)
    assert metric.tp + metric.tn == 4


def test_a_models_dtype_leaves_its_metrics_alone() -> None:
    model = nn.Module()
    model.metric = metrics.SumMetric()
    model.double()
    assert model.metric.sum_value.dtype is torch.float32
    assert model.metric.set_dtype(torch.float64).sum_value.dtype is torch.float64


def test_arithmetic_makes_metrics() -> None:
    a, b = metrics.SumMetric(), metrics.MeanMetric()
    both = (a + 2 * b) / 4
    both.update(torch.tensor([1.0, 3.0]))
    assert both.compute().item() == 2.0
    assert (-a).compute().item() == -4.0 and (a > b).compute().item() is True
    assert both(torch.tensor([4.0])).item() == 3.0
    both.reset()
    assert not a.update_called
    assert repr(a + 1) == "CompositionalMetric(\n  add(\n    SumMetric(),\n    1\n  )\n)"


def test_a_collection_names_and_computes_all() -> None:
    scores, targets, all_scores, all_targets = batches("multiclass")
    arguments = {"num_classes": CLASSES, "average": "macro"}
    collection = metrics.MetricCollection(
        [C.MulticlassPrecision(**arguments), C.MulticlassRecall(**arguments), C.MulticlassAUROC(num_classes=CLASSES)],
        prefix="val/",
    )
    assert repr(collection) == (
        "MetricCollection(\n  (MulticlassPrecision): MulticlassPrecision()\n  (MulticlassRecall): MulticlassRecall()\n"
        "  (MulticlassAUROC): MulticlassAUROC(),\n  prefix=val/\n)"
    )
    found = accumulated(collection, scores, targets)
    assert list(found) == ["val/MulticlassPrecision", "val/MulticlassRecall", "val/MulticlassAUROC"]
    close(found["val/MulticlassPrecision"], sk.precision_score(all_targets, all_scores.argmax(1), average="macro"))
    close(found["val/MulticlassRecall"], sk.recall_score(all_targets, all_scores.argmax(1), average="macro"))
    assert collection.compute_groups == {0: ["MulticlassPrecision", "MulticlassRecall"], 1: ["MulticlassAUROC"]}
    test = collection.clone(prefix="test/")
    test.reset()
    close(
        test(scores[0], targets[0])["test/MulticlassRecall"],
        collection["MulticlassRecall"].clone()(scores[0], targets[0]),
    )
    assert {k: v.item() for k, v in collection.compute().items()} == {k: v.item() for k, v in found.items()}


def test_a_collection_passes_each_metric_its_own_arguments_and_flattens_dicts() -> None:
    class Pair(metrics.Metric):
        full_state_update = False

        def __init__(self) -> None:
            super().__init__()
            self.add_state("low", torch.tensor(9.0), dist_reduce_fx="min")

        def update(self, preds: Any) -> None:
            self.low = torch.minimum(self.low, preds.min())

        def compute(self) -> dict[str, Any]:
            return {"low": self.low, "half": self.low / 2}

    collection = metrics.MetricCollection({"pair": Pair(), "error": metrics.MeanAbsoluteError()}, postfix="_x")
    result = collection(preds=torch.tensor([2.0, 4.0]), target=torch.tensor([2.0, 3.0]))
    assert {name: value.item() for name, value in result.items()} == {"error_x": 0.5, "low_x": 2.0, "half_x": 1.0}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.Accuracy(task="regression"), ValueError, "Invalid Classification: expected one of"),
        (lambda: metrics.Accuracy(task="multiclass"), ValueError, "`num_classes`"),
        (lambda: metrics.Accuracy(task="binary", threshold=2.0), ValueError, "`threshold` to be a float"),
        (lambda: metrics.Accuracy(task="multiclass", num_classes=3, average="mean"), ValueError, "`average` to be one"),
        (lambda: metrics.Accuracy(task="multiclass", num_classes=3, top_k=4), ValueError, "`top_k` to be smaller"),
        (lambda: C.MulticlassAUROC(3, average="mean"), ValueError, r"one of \('macro', 'weighted', 'none', None\) but got mean"),
        (lambda: C.MulticlassROC(3, average="mean"), ValueError, "one of None, 'micro' or 'macro', but got mean"),
        (lambda: C.MulticlassJaccardIndex(3, average="mean"), ValueError, "None\\), but got mean."),
        (lambda: metrics.FBetaScore(task="binary", beta=-1.0), ValueError, "`beta` to be a float larger than 0"),
        (lambda: metrics.SumMetric(nan_strategy="drop"), ValueError, "Arg `nan_strategy`"),
        (lambda: metrics.SumMetric(speed=3), ValueError, "Unexpected keyword arguments: `speed`"),
        (lambda: metrics.MetricCollection([metrics.SumMetric(), metrics.SumMetric()]), ValueError, "both named"),
        (lambda: F.accuracy(torch.ones(2), torch.tensor([0, 3]), task="binary"), RuntimeError, "values in `target`"),
        (lambda: F.accuracy(torch.ones(2), torch.tensor([0, 1, 1]), task="binary"), RuntimeError, "the same shape"),
        (lambda: F.auroc(torch.tensor([0, 1]), torch.tensor([0, 1]), task="binary"), ValueError, "floating tensor"),
        (lambda: setattr(metrics.SumMetric(), "higher_is_better", True), RuntimeError, "Can't change const"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with warnings.catch_warnings(), pytest.raises(error, match=message):
        warnings.simplefilter("error")
        make()


def test_a_task_may_be_written_in_capitals() -> None:
    assert repr(metrics.Accuracy("MULTICLASS", num_classes=5)) == "MulticlassAccuracy()"


@pytest.mark.parametrize("average", AVERAGES)
def test_overlap_of_classes_and_of_labels(average: str) -> None:
    scores, targets, x, y = batches("multiclass")
    found = accumulated(C.MulticlassJaccardIndex(CLASSES, average), scores, targets)
    expected = sk.jaccard_score(y, x.argmax(1), average=sklearn_average(average))
    close(found, expected)
    scores, targets, x, y = batches("multilabel")
    found = accumulated(metrics.JaccardIndex("multilabel", num_labels=LABELS, average=average), scores, targets)
    close(found, sk.jaccard_score(y, x > 0.5, average=sklearn_average(average)))


def test_overlap_leaves_ignored_classes_out() -> None:
    scores, targets, x, y = batches("multiclass")
    kept = y != 1
    expected = sk.jaccard_score(y[kept], x.argmax(1)[kept], labels=[0, 2, 3], average="macro")
    close(accumulated(C.MulticlassJaccardIndex(CLASSES, ignore_index=1), scores, targets), expected)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_is_agreement_beyond_chance(weights: str | None) -> None:
    scores, targets, x, y = batches("multiclass")
    found = accumulated(metrics.CohenKappa("multiclass", num_classes=CLASSES, weights=weights), scores, targets)
    close(found, sk.cohen_kappa_score(y, x.argmax(1), weights=weights))
    with pytest.raises(ValueError, match="expected one of"):
        metrics.CohenKappa("multilabel")


def test_matthews_correlation() -> None:
    for task in ("binary", "multiclass"):
        scores, targets, x, y = batches(task)
        found = accumulated(metrics.MatthewsCorrCoef(task, num_classes=CLASSES), scores, targets)
        close(found, sk.matthews_corrcoef(y, x > 0.5 if task == "binary" else x.argmax(1)))
    zeros, ones = torch.tensor([0, 0, 0]), torch.tensor([1, 1, 1])
    assert F.matthews_corrcoef(zeros, zeros, "binary") == 1 and F.matthews_corrcoef(zeros, ones, "binary") == -1
    close(F.matthews_corrcoef(zeros, torch.tensor([0, 0, 1]), "binary"), 0.40824825)  # torchmetrics' value


def test_hamming_distance_is_the_part_that_is_wrong() -> None:
    scores, targets, x, y = batches("multilabel")
    found = accumulated(metrics.HammingDistance("multilabel", num_labels=LABELS), scores, targets)
    close(found, sk.hamming_loss(y, x > 0.5))
    scores, targets, x, y = batches("multiclass")
    found = accumulated(C.MulticlassHammingDistance(CLASSES), scores, targets)
    close(found, 1 - sk.recall_score(y, x.argmax(1), average="macro"))


def test_relative_errors_and_correlation() -> None:
    rng = np.random.default_rng(3)
    y = rng.random(90, dtype=np.float32) + 0.5
    x = y + rng.normal(0, 0.1, 90).astype(np.float32)
    preds, targets = ([torch.from_numpy(part) for part in np.split(v, 3)] for v in (x, y))
    close(accumulated(metrics.MeanAbsolutePercentageError(), preds, targets), sk.mean_absolute_percentage_error(y, x))
    close(accumulated(metrics.MeanSquaredLogError(), preds, targets), sk.mean_squared_log_error(y, x))
    symmetric = accumulated(metrics.SymmetricMeanAbsolutePercentageError(), preds, targets)
    close(symmetric, np.mean(2 * np.abs(x - y) / (np.abs(x) + np.abs(y))))
    close(accumulated(metrics.ExplainedVariance(), preds, targets), sk.explained_variance_score(y, x))
    close(accumulated(metrics.PearsonCorrCoef(), preds, targets), np.corrcoef(x, y)[0, 1])
    with pytest.warns(UserWarning, match="The variance of predictions or target is close to zero"):
        assert F.pearson_corrcoef(torch.ones(3), torch.tensor([1.0, 2.0, 3.0])).isnan()
    rows = [p.reshape(10, 3) for p in preds], [t.reshape(10, 3) for t in targets]
    u, v = x.reshape(30, 3), y.reshape(30, 3)
    cosines = (u * v).sum(1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    close(accumulated(metrics.CosineSimilarity("none"), *rows), cosines)
    close(accumulated(metrics.CosineSimilarity(), *rows), cosines.sum())
