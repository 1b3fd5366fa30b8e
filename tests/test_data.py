"""Datasets, samplers, collation and loading in one process, against results recorded from PyTorch 2.13."""

from __future__ import annotations

import collections
import pickle
import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight.utils import data
from rushlight.utils.data import DataLoader, TensorDataset

Point = collections.namedtuple("Point", "x y")

RECORDED = {
    "split_lengths": [[0, 4, 9], [6, 7, 3, 2, 8, 1, 5]],
    "split_fractions": [[6, 10, 8, 0], [7, 2, 4], [3, 9, 1, 5]],
    "replacement": [1, 8, 8, 0, 3, 2, 1, 2, 5, 8, 6, 2, 4, 7, 9, 3, 1, 8, 3, 6, 1, 9, 9, 2, 6, 2, 1, 7, 7, 6, 2, 1, 8, 3, 6, 9, 6, 9, 7, 7],
    "beyond": [5, 6, 1, 2, 0, 8, 9, 3, 7, 4, 2, 3, 1, 8, 9, 0, 6, 7, 4, 5, 2, 8, 1, 5, 6],
    "after_replacement": [20, 27],
    "weighted": [2, 4, 4, 4, 4],
    "weighted_without": [4, 1, 2, 0, 3],
    "subset": [3, 9, 5, 1],
    "distributed": [[3, 0, 5, 6], [8, 1, 2, 9], [10, 4, 7, 3]],
}


def pairs(count: int = 23) -> TensorDataset:
    x = torch.arange(count)
    return TensorDataset(x, x * 2.5)


class Stream(data.IterableDataset):
    def __init__(self, count: int, length: int | None = None) -> None:
        self.count, self.length = count, length

    def __iter__(self):
        return iter(range(self.count))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError("no length")
        return self.length


class Lookup(data.Dataset):
    """Counts how it is asked."""

    def __init__(self) -> None:
        self.single, self.batches = 0, 0

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index):
        self.single += 1
        return index

    def __getitems__(self, indices):
        self.batches += 1
        return list(indices)


def batches(loader) -> list:
    return [[column.tolist() for column in batch] for batch in loader]


# The order of random draws


def test_shuffle_visits_in_pytorch_order():
    torch.manual_seed(3)
    loader = DataLoader(pairs(), batch_size=5, shuffle=True)
    first = [batch[0].tolist() for batch in loader]
    assert first == [[20, 16, 15, 0, 19], [21, 11, 9, 10, 22], [3, 14, 7, 5, 6], [8, 2, 12, 13, 18], [1, 17, 4]]
    assert [b[1].tolist() for b in loader] != [[2.5 * i for i in row] for row in first]


def test_every_pass_draws_a_base_seed_even_in_order():
    torch.manual_seed(3)
    first = [batch[0].tolist() for batch in DataLoader(pairs(), batch_size=5, shuffle=True)]
    assert len(first) == 5 and first.pop(0) == [20, 16, 15, 0, 19]
    list(DataLoader(pairs(), batch_size=4))
    drop = DataLoader(pairs(), batch_size=5, shuffle=True, drop_last=True)
    assert [batch[0].tolist() for batch in drop] == [
        [13, 22, 10, 8, 0],
        [7, 18, 1, 11, 15],
        [3, 12, 14, 5, 4],
        [19, 20, 21, 17, 6],
    ]
    single = [int(x) for x, _ in DataLoader(pairs(), batch_size=None, shuffle=True)]
    assert single == [3, 15, 14, 6, 11, 5, 22, 13, 8, 17, 10, 9, 18, 20, 0, 7, 19, 4, 12, 2, 21, 16, 1]
    assert torch.randint(100, (3,)).tolist() == [86, 49, 75]


def test_sampler_seed_is_drawn_at_the_first_index():
    torch.manual_seed(0)
    iterator = iter(DataLoader(range(4), shuffle=True))
    between = torch.randint(1000, (1,)).item()
    order = [batch.item() for batch in iterator]
    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_()
    assert between == torch.randint(1000, (1,)).item()
    generator = torch.Generator().manual_seed(torch.empty((), dtype=torch.int64).random_().item())
    assert order == torch.randperm(4, generator=generator).tolist()


def test_loader_generator_leaves_the_global_one_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    a = batches(DataLoader(pairs(), batch_size=6, shuffle=True, generator=torch.Generator().manual_seed(8)))
    b = batches(DataLoader(pairs(), batch_size=6, shuffle=True, generator=torch.Generator().manual_seed(8)))
    assert a == b
    assert torch.equal(before, torch.get_rng_state())


def test_random_split_of_fractions_and_lengths():
    torch.manual_seed(11)
    parts = data.random_split(range(10), [3, 7], generator=torch.Generator().manual_seed(4))
    assert [part.indices for part in parts] == RECORDED["split_lengths"]
    assert [part.indices for part in data.random_split(range(11), [0.3, 0.3, 0.4])] == RECORDED["split_fractions"]


def test_random_split_refuses_what_does_not_add_up():
    with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset!"):
        data.random_split(range(5), [1, 2])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        data.random_split(range(5), [-0.5, 1.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0. This might result in an empty dataset."):
        data.random_split(range(1), [0.9, 0.1])


def test_random_sampler_with_replacement_and_beyond_the_size():
    torch.manual_seed(11)
    assert list(data.RandomSampler(range(10), replacement=True, num_samples=40)) == RECORDED["replacement"]
    generator = torch.Generator().manual_seed(1)
    assert list(data.RandomSampler(range(10), num_samples=25, generator=generator)) == RECORDED["beyond"]
    assert torch.randint(100, (2,)).tolist() == RECORDED["after_replacement"]


def test_weighted_and_subset_samplers():
    torch.manual_seed(11)
    weights = [0.1, 0.9, 0.4, 0.7, 3.0, 0.6]
    assert list(data.WeightedRandomSampler(weights, 5)) == RECORDED["weighted"]
    assert list(data.WeightedRandomSampler(weights, 5, replacement=False)) == RECORDED["weighted_without"]
    assert list(data.SubsetRandomSampler([3, 5, 9, 1])) == RECORDED["subset"]


def test_distributed_sampler_parts_cover_the_data():
    samplers = [data.DistributedSampler(range(11), 3, rank) for rank in range(3)]
    for sampler in samplers:
        sampler.set_epoch(2)
    assert [list(sampler) for sampler in samplers] == RECORDED["distributed"]
    plain = [
        list(data.DistributedSampler(range(size), 3, 1, drop_last=drop, shuffle=False))
        for size in (1, 2, 7, 9)
        for drop in (False, True)
    ]
    assert plain == [[0], [], [1], [], [1, 4, 0], [1, 4], [1, 4, 7], [1, 4, 7]]
    with pytest.raises(ValueError, match=r"Invalid rank 3, rank should be in the interval \[0, 2\]"):
        data.DistributedSampler(range(4), 3, 3)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: data.RandomSampler([]), ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
        (lambda: data.RandomSampler([1], replacement=1), TypeError, "replacement should be a boolean value, but got replacement=1"),
        (lambda: data.BatchSampler([1], True, False), ValueError, "batch_size should be a positive integer value, but got batch_size=True"),
        (lambda: data.BatchSampler([1], 1, 0), ValueError, "drop_last should be a boolean value, but got drop_last=0"),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError, "weights should be a 1d sequence but given weights have shape (1, 1)"),
        (lambda: data.WeightedRandomSampler([1.0], 0), ValueError, "num_samples should be a positive integer value, but got num_samples=0"),
        (lambda: data.ConcatDataset([]), AssertionError, "datasets should not be an empty iterable"),
        (lambda: data.ConcatDataset([Stream(1)]), AssertionError, "ConcatDataset does not support IterableDataset"),
        (lambda: data.ConcatDataset([[1]])[-2], ValueError, "absolute value of index should not exceed dataset length"),
        (lambda: TensorDataset(torch.zeros(2), torch.zeros(3)), AssertionError, "Size mismatch between tensors"),
        (lambda: data.StackDataset(), ValueError, "At least one dataset should be passed"),
        (lambda: data.StackDataset([1], [1, 2]), ValueError, "Size mismatch between datasets"),
        (lambda: data.Dataset()[0], NotImplementedError, "Subclasses of Dataset should implement __getitem__."),
    ],
)  # fmt: skip
def test_datasets_and_samplers_refuse_with_pytorch_messages(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert str(caught.value) == message


# Datasets of datasets


def test_concat_chain_stack_and_subset():
    both = pairs(3) + pairs(2)
    assert isinstance(both, data.ConcatDataset) and len(both) == 5
    assert [int(both[i][0]) for i in (0, 2, 3, -1)] == [0, 2, 0, 1]
    with pytest.warns(FutureWarning, match="`cummulative_sizes` attribute is renamed to `cumulative_sizes`"):
        assert both.cummulative_sizes == [3, 5]
    chain = Stream(2, 2) + Stream(3, 3)
    assert isinstance(chain, data.ChainDataset) and list(chain) == [0, 1, 0, 1, 2] and len(chain) == 5
    stack = data.StackDataset(number=Lookup(), letter="abcdef")
    assert stack[2] == {"number": 2, "letter": "c"}
    assert stack.__getitems__([4, 0]) == [{"number": 4, "letter": "e"}, {"number": 0, "letter": "a"}]
    assert data.StackDataset("ab", Lookup().__getitems__([8, 9])).__getitems__([1]) == [("b", 9)]
    nested = data.Subset(data.Subset(pairs(), range(4, 20)), [3, 0])
    assert [int(x) for x, _ in nested] == [7, 4]


def test_subset_that_overrides_one_lookup_must_override_the_other():
    class Half(data.Subset):
        def __getitem__(self, idx):
            return 0

    with pytest.raises(NotImplementedError, match="Half overrides __getitem__ but not __getitems__"):
        Half(range(3), [0])


def test_batch_lookup_is_used_where_the_dataset_has_it():
    dataset = Lookup()
    assert [batch.tolist() for batch in DataLoader(dataset, batch_size=4)] == [[0, 1, 2, 3], [4, 5]]
    assert (dataset.single, dataset.batches) == (0, 2)


@pytest.mark.parametrize("indices", [[22, 4, 7], [0, -1], [np.int64(3), 1]])
def test_rows_of_tensor_datasets_equal_row_by_row_collation(indices):
    """The shortcut for `TensorDataset` gives what collating single rows gives: values, dtype, contiguity."""
    dataset = TensorDataset(torch.arange(23), torch.arange(46.0).reshape(23, 2), torch.arange(69).reshape(3, 23).t())
    expected = data.default_collate([dataset[int(index)] for index in indices])
    for source in (dataset, data.Subset(dataset, range(23))):
        batch = next(iter(DataLoader(source, batch_sampler=[indices])))
        for found, wanted in zip(batch, expected, strict=True):
            assert torch.equal(found, wanted) and found.dtype == wanted.dtype and found.stride() == wanted.stride()


def test_batches_of_tensor_datasets_are_copies():
    x = torch.zeros(4)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=4)))
    batch += 1
    assert x.tolist() == [0, 0, 0, 0]


def test_rows_that_require_grad_keep_their_history():
    x = torch.ones(3, requires_grad=True)
    (batch,) = next(iter(DataLoader(TensorDataset(x), batch_size=3)))
    batch.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_index_out_of_range_says_so():
    with pytest.raises(IndexError, match="index 50 is out of bounds for dimension 0 with size 23"):
        list(DataLoader(pairs(), sampler=[50]))


# Collation


def test_default_collate_keeps_structure():
    sample = {"a": 1, "b": [1.5, "x"], "p": Point(np.float32(1), np.arange(2)), "t": (True, b"z")}
    batch = data.default_collate([sample, sample])
    assert list(batch) == ["a", "b", "p", "t"]
    assert batch["a"].tolist() == [1, 1] and batch["a"].dtype == torch.int64
    assert batch["b"][0].dtype == torch.float64 and batch["b"][1] == ("x", "x")
    assert isinstance(batch["p"], Point) and batch["p"].x.dtype == torch.float32
    assert batch["p"].y.tolist() == [[0, 1], [0, 1]]
    assert isinstance(batch["t"], list) and batch["t"][0].dtype == torch.bool and batch["t"][1] == (b"z", b"z")


def test_default_collate_keeps_the_type_of_containers():
    class Tagged(dict):
        tag = None

    tagged = Tagged(x=1)
    tagged.tag = "kept"
    batch = data.default_collate([tagged, Tagged(x=2)])
    assert type(batch) is Tagged and batch.tag == "kept" and batch["x"].tolist() == [1, 2]
    assert isinstance(data.default_collate([collections.deque([1, 2])]), collections.deque)
    assert [column.tolist() for column in data.default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    "batch, error, message",
    [
        ([object()], TypeError, "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'object'>"),
        ([{"a": None}], TypeError, "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class 'NoneType'>"),
        ([np.array(["a"])], TypeError, "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found <U1"),
        ([[1], [1, 2]], RuntimeError, "each element in list of batch should be of equal size"),
        ([torch.zeros(2), torch.zeros(3)], RuntimeError, "stack expects each tensor to be equal size, but got [2] at entry 0 and [3] at entry 1"),
    ],
)  # fmt: skip
def test_default_collate_refuses(batch, error, message):
    with pytest.raises(error) as caught:
        data.default_collate(batch)
    assert str(caught.value) == message


def test_collate_map_teaches_default_collate_a_type():
    from rushlight.utils.data._utils.collate import default_collate_fn_map

    class Word:
        def __init__(self, text):
            self.text = text

    class LongWord(Word):
        pass

    default_collate_fn_map[Word] = lambda batch, *, collate_fn_map: "-".join(word.text for word in batch)
    try:
        assert data.default_collate([(Word("a"), 1), (Word("b"), 2)])[0] == "a-b"
        assert data.default_collate([LongWord("c")]) == "c"
    finally:
        del default_collate_fn_map[Word]


def test_default_convert():
    converted = data.default_convert((np.arange(3), "a", [np.float64(2)], range(2), {"k": np.array(["s"])}, Point(np.int32(1), 2)))
    assert isinstance(converted, list)
    assert converted[0].tolist() == [0, 1, 2] and converted[1] == "a"
    assert converted[2][0].dtype == torch.float64 and converted[3] == [0, 1]
    assert isinstance(converted[4]["k"], np.ndarray)
    assert converted[5].x.dtype == torch.int32 and converted[5].y == 2


# The loader


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"num_workers": -1}, ValueError, "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."),
        ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor option could only be specified in multiprocessing.let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."),
        ({"prefetch_factor": -2, "num_workers": 1}, ValueError, "prefetch_factor option should be non-negative"),
        ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
        ({"batch_size": None, "drop_last": True}, ValueError, "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"),
        ({"batch_size": 0}, ValueError, "batch_size should be a positive integer value, but got batch_size=0"),
        ({"shuffle": True, "sampler": [1]}, ValueError, "sampler option is mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 3}, ValueError, "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"),
        ({"multiprocessing_context": "fork"}, ValueError, "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers=0"),
        ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "multiprocessing_context option should be a valid context object or a string specifying the start method, but got multiprocessing_context=3"),
        ({"multiprocessing_context": "bad", "num_workers": 1}, ValueError, "multiprocessing_context option should specify a valid start method in ['fork', 'spawn', 'forkserver'], but got multiprocessing_context='bad'"),
    ],
)  # fmt: skip
def test_loader_checks_its_arguments(options, error, message):
    with pytest.raises(error) as caught:
        DataLoader(pairs(), **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("name, value", [("shuffle", True), ("sampler", [1]), ("batch_sampler", [[1]])])
def test_iterable_datasets_take_no_order(name, value):
    with pytest.raises(ValueError) as caught:
        DataLoader(Stream(3), **{name: value})
    assert str(caught.value) == f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"


def test_attributes_that_decide_the_order_are_fixed():
    loader = DataLoader(pairs())
    with pytest.raises(ValueError, match="batch_size attribute should not be set after DataLoader is initialized"):
        loader.batch_size = 3
    loader.num_workers = 0


def test_length_of_loaders():
    assert len(DataLoader(pairs(), batch_size=5)) == 5
    assert len(DataLoader(pairs(), batch_size=5, drop_last=True)) == 4
    assert len(DataLoader(pairs(), batch_size=None)) == 23
    assert len(DataLoader(Stream(5, 5), batch_size=2)) == 3
    assert len(DataLoader(Stream(5, 5), batch_size=2, drop_last=True)) == 2


def test_iterable_dataset_ends_by_itself():
    assert [batch.tolist() for batch in DataLoader(Stream(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [batch.tolist() for batch in DataLoader(Stream(5), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]


def test_iterable_dataset_longer_than_it_says_is_reported():
    loader = DataLoader(Stream(3, 2), batch_size=None)
    assert len(loader) == 2
    iterator = iter(loader)
    assert [next(iterator), next(iterator)] == [0, 1]
    with pytest.warns(UserWarning, match=r"was reported to be 2\(when accessing len\(dataloader\)\), but 3 samples have been fetched"):
        assert next(iterator) == 2


def test_pin_memory_warns_and_changes_nothing():
    loader = DataLoader(pairs(2), pin_memory=True)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found, then device pinned"):
        assert batches(loader) == [[[0], [0.0]], [[1], [2.5]]]


def test_timeout_needs_workers():
    with pytest.raises(AssertionError, match="_SingleProcessDataLoaderIter requires timeout == 0"):
        iter(DataLoader(pairs(), timeout=1))


def test_too_many_workers_are_warned_of():
    import os

    cores = len(os.sched_getaffinity(0))
    with pytest.warns(UserWarning) as caught:
        DataLoader(pairs(), num_workers=cores + 1)
    assert str(caught[0].message) == (
        f"This DataLoader will create {cores + 1} worker processes in total. Our suggested max number of worker in "
        f"current system is {cores}, which is smaller than what this DataLoader is going to create. Please be aware that "
        "excessive worker creation might get DataLoader running slow or even freeze, lower the worker number to avoid "
        "potential slowness/freeze if necessary."
    )


def test_loader_takes_a_custom_collate_function_and_any_sequence():
    loader = DataLoader("abcde", batch_size=2, collate_fn="".join, sampler=[4, 0, 1])
    assert list(loader) == ["ea", "b"]


def test_iterators_cannot_be_pickled_but_loaders_can():
    loader = DataLoader(range(3))
    assert [batch.item() for batch in pickle.loads(pickle.dumps(loader))] == [0, 1, 2]
    with pytest.raises(NotImplementedError):
        pickle.dumps(iter(loader))


def test_importing_the_package_does_not_import_multiprocessing():
    import subprocess
    import sys

    code = "import sys, rushlight.utils.data; print('multiprocessing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"


def test_no_warning_in_ordinary_use():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches(DataLoader(pairs(), batch_size=5, shuffle=True))
