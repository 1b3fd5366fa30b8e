"""What the documentation shows is what happens: the pages and every docstring's examples are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy
import pytest

import rushlight as torch
from rushlight import nn, tape
from rushlight.engine import llvm
from rushlight.nn import functional as F

ROOT = Path(__file__).parent.parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

#: Modules that need a library which may be missing, or that change the process for good (tests/test_run.py has these).
SKIPPED = {"rushlight.__main__", "rushlight._shim", "rushlight.install", "rushlight.utils.tensorboard"}

SHOWS_MACHINE_CODE = {"rushlight.engine.object_program", "rushlight.report", "walk.md"}


def modules() -> list[str]:
    found = ["rushlight"]
    for info in pkgutil.walk_packages(torch.__path__, "rushlight."):
        if not any(info.name == s or info.name.startswith(s + ".") for s in SKIPPED):
            found.append(info.name)
    return found


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_a_page_of_the_documentation_shows_what_happens(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name in SHOWS_MACHINE_CODE and not llvm.AVAILABLE:
        pytest.skip("it shows machine code")
    monkeypatch.setattr(tape.state, "immediate", False)  # the pages look at what is pending
    parser = doctest.DocTestParser()
    test = parser.get_doctest(page.read_text(), {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test)
    assert runner.failures == 0 and runner.tries > 5


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_are_right(name: str) -> None:
    if name in SHOWS_MACHINE_CODE and not llvm.AVAILABLE:
        pytest.skip("it shows machine code")
    module = importlib.import_module(name)
    names = {"torch": torch, "nn": nn, "F": F, "numpy": numpy, "np": numpy}
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    torch.manual_seed(0)
    for test in finder.find(module, name, extraglobs=names):
        runner.run(test)
    assert runner.failures == 0


def test_the_examples_of_functions_made_from_cards_are_right() -> None:
    """`doctest` does not find these by module: they are closures of `ops/define.py`."""
    from rushlight.ops.define import CARD_OF

    names = {"torch": torch, "nn": nn, "F": F, "numpy": numpy, "np": numpy}
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=FLAGS)
    for function in CARD_OF:
        for test in finder.find(function, function.__name__, module=False, globs=dict(names)):
            runner.run(test)
    assert runner.failures == 0 and runner.tries > 100


def test_the_map_names_every_file() -> None:
    text = (ROOT / "MAP.md").read_text()
    files = [p for p in (ROOT / "rushlight").rglob("*.py") if p.name != "__init__.py"]
    assert [str(p.relative_to(ROOT)) for p in files if p.name not in text] == []
