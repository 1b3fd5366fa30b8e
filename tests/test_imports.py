"""Imports point one way, nothing heavy is loaded at start, and only one file knows the compiler."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rushlight"

#: From the bottom up; a module may import from its own row and the rows above it in this list.
LAYERS = (
    ("dtypes", "errors", "config", "version", "recent"),
    ("shape", "devices"),
    ("memory_formats", "buffers"),
    ("storage",),
    ("engine",),
    ("tape",),
    ("graph", "grad_mode", "untyped_storage", "autocasting"),
    ("return_types", "random", "vector_math", "draws"),
    ("ops",),
    ("autograd",),
    ("printing", "operators", "methods"),
    ("tensor",),
    ("tensor_types", "report"),
)
#: Files of a lower package that stand above `tensor`: PyTorch has these names there, and they load when first used.
ABOVE = {"autograd/functional.py", "autograd/variable.py"}
LEVEL = {name: n for n, row in enumerate(LAYERS) for name in row}
TOP = len(LAYERS)


def module_imports(path: Path) -> set[str]:
    """The first-level modules of the package that a file imports when it is loaded (not inside functions, not for types)."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    package = parts if path.name == "__init__.py" else parts[:-1]
    if path.name == "__init__.py":
        package = parts[:-1]
    found: set[str] = set()

    def visit(nodes: list[ast.stmt]) -> None:
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                base = list(package[: len(package) - node.level + 1]) if node.level else []
                base += node.module.split(".") if node.module else []
                if base[:1] == ["rushlight"]:
                    found.update([base[1]] if len(base) > 1 else [a.name for a in node.names])
            elif isinstance(node, ast.Import):
                found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("rushlight."))
            elif isinstance(node, ast.If):
                if "TYPE_CHECKING" not in ast.dump(node.test):
                    visit(node.body)
                visit(node.orelse)
            elif isinstance(node, ast.Try | ast.ClassDef):
                visit(node.body)

    visit(ast.parse(path.read_text()).body)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_its_own_layer_and_below(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    level = TOP if str(path.relative_to(PACKAGE)) in ABOVE else LEVEL.get(own, TOP)
    wrong = {name for name in module_imports(path) if LEVEL.get(name, TOP) > level}
    assert not wrong, f"{own} is below {sorted(wrong)}"


def test_only_the_llvm_file_imports_llvmlite() -> None:
    users = [p for p in FILES if "llvmlite" in p.read_text() and p.name != "llvm.py"]
    importing = [p for p in users if any("llvmlite" in line and "import" in line for line in p.read_text().splitlines())]
    assert not importing


def test_import_loads_no_optional_library_and_no_heavy_module() -> None:
    heavy = "scipy onnx onnxruntime safetensors matplotlib sklearn tqdm llvmlite multiprocessing multiprocessing.context unittest pickletools"
    code = f"import sys, numpy; before = set(sys.modules); import rushlight; print(*[m for m in {heavy.split()!r} if m in sys.modules and m not in before])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == []
