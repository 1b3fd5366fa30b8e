"""Machine code finds in Python's objects what Python finds there."""

from __future__ import annotations

import gc
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rushlight as torch
from rushlight.engine import checks, llvm, objects
from rushlight.engine.checks import Checks

pytestmark = pytest.mark.skipif(not llvm.AVAILABLE, reason="llvmlite is absent")


def test_the_fields_of_objects_are_found_in_this_interpreter() -> None:
    assert objects.fields() is not None


def test_an_object_that_has_a_slot_elsewhere_is_not_read() -> None:
    with pytest.raises(LookupError):
        objects.slot(types.SimpleNamespace, "anything")


@pytest.fixture(params=["machine code", "Python"])
def looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checks]:
    if request.param == "Python":
        monkeypatch.setattr(checks, "_code", lambda: None)
    yield Checks()


class _First:
    pass


class _Second(_First):
    pass


_KEPT: list[Any] = []


def _cell(value: Any) -> types.CellType:
    return types.CellType(value)


CHANGES: dict[str, tuple[Callable[[Checks, Any], None], Callable[[], Any], Callable[[Any], Any]]] = {
    "another value of a key": (lambda looks, it: looks.item(it, "a"), lambda: {"a": [1], "b": 2}, lambda it: it.update(a=[1])),
    "a key that is gone": (lambda looks, it: looks.item(it, "a"), lambda: {"a": [1]}, lambda it: it.pop("a")),
    "a key that was not there": (lambda looks, it: looks.absent(it, "b"), lambda: {"a": [1]}, lambda it: it.update(b=1)),
    "a longer dictionary": (Checks.size, lambda: {"a": 1}, lambda it: it.update(b=1)),
    "another value among contents": (Checks.contents, lambda: {"a": [1], "b": [2]}, lambda it: it.update(b=[2])),
    "contents in another order": (Checks.contents, lambda: {"a": 1, "b": 2}, lambda it: it.update(a=it.pop("a"))),
    "an equal key that is another object": (Checks.contents, lambda: {tuple(range(2)): 3}, lambda it: (it.clear(), it.update({tuple(range(2)): 3}))),
    "another item of a list": (Checks.contents, lambda: [[1], [2]], lambda it: it.__setitem__(1, [2])),
    "a shorter list": (Checks.contents, lambda: [1, 2], lambda it: it.pop()),
    "what a cell holds": (lambda looks, it: looks.slot(it, "cell_contents"), lambda: _cell([1]), lambda it: setattr(it, "cell_contents", [1])),
    "a tensor's layout": (lambda looks, it: looks.slot(it, "_layout"), lambda: torch.zeros(2, 3), lambda it: it.t_()),
    "an object of another class": (Checks.kind, lambda: _First(), lambda it: setattr(it, "__class__", _Second)),
    "one more reference": (Checks.references, lambda: _First(), lambda it: _KEPT.append(it)),
    "a parameter's requires_grad": (lambda looks, it: looks.slot(it, "_requires_grad"), lambda: torch.nn.Parameter(torch.zeros(2)), lambda it: it.requires_grad_(False)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_and_nothing_else(name: str, looks: Checks) -> None:
    note, make, change = CHANGES[name]
    it, other = make(), make()
    note(looks, it)
    looks.contents([1, 2, 3])
    assert looks.hold()
    assert looks.prepared()()
    change(other)
    assert looks.hold()
    change(it)
    assert not looks.hold()


def test_a_key_that_cannot_be_looked_up_any_more_is_a_change() -> None:
    class Key:
        broken = False

        def __hash__(self) -> int:
            if self.broken:
                raise ValueError("broken")
            return 1

    looks, it, key = Checks(), {"a": 1}, Key()
    it[key] = 2
    looks.item(it, key)
    assert looks.hold()
    Key.broken = True
    assert not looks.hold()
    assert it["a"] == 1, "no error is left behind"


def test_a_function_holds_what_it_looks_at() -> None:
    def prepared() -> Callable[[], bool]:
        looks = Checks()
        looks.contents({"a": [object() for _ in range(100)]})
        return looks.prepared()

    hold = prepared()
    gc.collect()
    filler = [[{"a": n}, [object()] * 100] for n in range(2000)]
    assert hold()
    assert len(filler) == 2000


def test_a_function_can_be_inspected() -> None:
    looks = Checks()
    looks.size({})
    assert inspect.getmodule(looks.prepared()) is None
