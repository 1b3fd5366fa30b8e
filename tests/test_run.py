"""`rushlight run` is plain Python in which torch is rushlight, and so are the processes that a program starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rushlight

HOME = str(Path(rushlight.__file__).parents[1])
PLAIN = [sys.executable]
RUSHLIGHT = [sys.executable, "-m", "rushlight", "run"]


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def call(command: list[str], cwd: Path, path: tuple[Path | str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, HOME)))}
    return subprocess.run(command, check=False, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def run(folder: Path, program: str, *, path: tuple[Path | str, ...] = ()) -> str:
    """What a program prints under ``rushlight run``; it must succeed, in silence on stderr."""
    write(folder, "program.py", program)
    done = call([*RUSHLIGHT, "program.py"], folder, path)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


WHO_AM_I = """\
import sys
main = sys.modules["__main__"]
assert vars(main) is globals()
print(__name__, __file__, __cached__, __package__, type(__loader__).__name__, __doc__)
print(__spec__ and (__spec__.name, __spec__.origin), type(__builtins__).__name__, sorted(globals()))
print(sys.argv, sys.path[0])
def annotated(x: int): pass
print(annotated.__annotations__)
"""


@pytest.mark.parametrize(
    "target",
    [
        ["script.py", "--epochs", "3", "-m", "--help"],
        ["folder/.././script.py"],
        ["./script.py"],
        ["link.py"],
        ["-m", "script", "--version"],
        ["-m", "package", "run"],
        ["-m", "package.inner"],
        ["folder", "x"],
        ["archive.zip"],
    ],
    ids=" ".join,
)
def test_a_program_sees_what_plain_python_shows_it(tmp_path: Path, target: list[str]) -> None:
    import zipfile

    for name in ("script.py", "package/__main__.py", "package/inner.py", "folder/__main__.py", "real/target.py"):
        write(tmp_path, name, WHO_AM_I)
    write(tmp_path, "package/__init__.py", "")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "target.py")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", WHO_AM_I)
    plain = call([*PLAIN, "-B", *target], tmp_path)
    ours = call([sys.executable, "-B", "-m", "rushlight", "run", *target], tmp_path)
    assert plain.returncode == ours.returncode == 0, ours.stderr
    assert ours.stdout == plain.stdout
    assert ours.stderr == plain.stderr


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("import sys\nsys.exit(7)", 7),
        ("raise SystemExit", 0),
        ("raise SystemExit('a word')", 1),
        ("def f():\n    raise KeyError(3)\nf()", 1),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('b') from e", 1),
        ("import broken", 1),
        ("x = = 3", 1),
        (
            "import sys\nsys.excepthook = lambda *what: print('hook', what[0].__name__, what[2].tb_lineno)\nopen('nowhere')",
            1,
        ),
    ],
)
def test_exit_codes_and_tracebacks_are_plain_pythons(tmp_path: Path, program: str, code: int) -> None:
    write(tmp_path, "broken.py", "import no_such_module\n")
    write(tmp_path, "program.py", program)
    plain, ours = call([*PLAIN, "program.py"], tmp_path), call([*RUSHLIGHT, "program.py"], tmp_path)
    assert ours.returncode == plain.returncode == code
    assert ours.stderr == plain.stderr
    assert ours.stdout == plain.stdout


@pytest.mark.parametrize(
    "target", [["nowhere.py"], ["-m", "nowhere"], ["-m", "nowhere.at.all"], ["-m", "json"], ["-m", "os.py"]]
)
def test_what_cannot_be_found_is_reported_as_python_reports_it(tmp_path: Path, target: list[str]) -> None:
    plain, ours = call([*PLAIN, *target], tmp_path), call([*RUSHLIGHT, *target], tmp_path)
    assert (ours.returncode, ours.stderr, ours.stdout) == (plain.returncode, plain.stderr, plain.stdout)
    assert ours.returncode != 0


def test_ctrl_c_ends_a_program_as_it_ends_plain_python(tmp_path: Path) -> None:
    script = write(tmp_path, "program.py", "import time\nprint('ready', flush=True); time.sleep(60)\n")

    def interrupted(command: list[str]) -> tuple[int, list[str]]:
        """The exit code, and the files that the traceback goes through."""
        environment = os.environ | {"PYTHONPATH": HOME}
        with subprocess.Popen(
            [*command, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=60)[1]
            assert error.endswith("KeyboardInterrupt\n")
            return process.returncode, [line.split(",")[0] for line in error.splitlines() if line.startswith("  File")]

    # The command `rushlight` is a script that calls main(); a module run by -m ends with another code.
    command = write(tmp_path, "rushlight_command.py", "from rushlight.__main__ import main\nmain()\n")
    assert interrupted([sys.executable, str(command), "run"]) == interrupted(PLAIN)


def test_modules_of_torch_are_those_of_rushlight(tmp_path: Path) -> None:
    program = """
        import importlib, sys
        import torch.nn.functional as F, torch.utils.data, torch
        from torch import nn, optim
        from torch.optim.lr_scheduler import StepLR
        import rushlight, rushlight.optim.lr_scheduler
        assert torch is rushlight and sys.modules["torch"] is rushlight
        assert nn is rushlight.nn and F is rushlight.nn.functional and torch.utils.data is rushlight.utils.data
        assert StepLR is rushlight.optim.lr_scheduler.StepLR
        from torch.nn.modules.linear import Linear
        assert Linear is nn.Linear is rushlight.nn.Linear
        assert nn.__spec__.name == nn.__name__ == "rushlight.nn"
        names = [name for name in sys.modules if name.partition(".")[0] == "torch"]
        for name in names:
            assert sys.modules[name] is sys.modules["rushlight" + name[5:]], name
        assert torch.tensor([1]).dtype is torch.int64
        try:
            import torch.tensor
        except ModuleNotFoundError as error:
            print(error)
        assert callable(torch.tensor)
        try:
            import torch.no_such_thing
        except ModuleNotFoundError as error:
            print(error)
    """
    expected = "No module named 'torch.tensor'\nNo module named 'torch.no_such_thing'\n"
    assert run(tmp_path, program) == expected


FINDS = """
    import importlib.metadata, importlib.util, sys
    spec = importlib.util.find_spec("torch")
    print(spec is not None, importlib.metadata.version("torch"), importlib.metadata.distribution("torch").metadata["Name"])
    print("torch" in importlib.metadata.packages_distributions())
    spec = importlib.util.find_spec("torch.nn.functional")
    print(spec is not None, importlib.util.find_spec("torch.no_such_thing"))
    import torch
    print(torch.__version__, importlib.util.find_spec("torch") is not None)
"""
FOUND = "True 2.13.0 torch\nTrue\nTrue None\n2.13.0+rushlight True\n"


def test_torch_can_be_looked_up_before_it_is_imported(tmp_path: Path) -> None:
    assert run(tmp_path, FINDS) == FOUND


def test_a_subprocess_sees_the_same_torch(tmp_path: Path) -> None:
    write(tmp_path, "child.py", textwrap.dedent(FINDS))
    program = """
        import subprocess, sys
        subprocess.run([sys.executable, "child.py"], check=True)
        nested = "import subprocess, sys; subprocess.run([sys.executable, 'child.py'], check=True)"
        subprocess.run([sys.executable, "-c", nested], check=True)
        subprocess.run([sys.executable, "-c", "import torch.nn as nn, rushlight; print(nn is rushlight.nn)"], check=True)
    """
    assert run(tmp_path, program) == FOUND + FOUND + "True\n"


def test_a_subprocess_finds_rushlight_where_the_parent_ran_from_its_source_tree(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        "program.py",
        """
        import subprocess, sys, tempfile
        subprocess.run([sys.executable, "-c", "import torch; print(torch.__version__)"], cwd=tempfile.gettempdir(), check=True)
        """,
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*RUSHLIGHT, str(script)], check=False, cwd=HOME, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "2.13.0+rushlight\n", done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_workers_of_multiprocessing_unpickle_functions_of_the_main_module(tmp_path: Path, method: str) -> None:
    program = f"""
        import torch
        from torch import nn
        import multiprocessing, sys

        class Net(nn.Module):
            pass

        def work(net):
            import rushlight
            return torch is rushlight and isinstance(net, nn.Module) and type(net) is Net and __name__

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with context.Pool(1) as pool:
                print(pool.apply(work, (Net(),)))
    """
    assert run(tmp_path, program) == ("__main__\n" if method == "fork" else "__mp_main__\n")


def test_a_sitecustomize_of_the_users_still_runs_in_children(tmp_path: Path) -> None:
    site = write(tmp_path / "site", "sitecustomize.py", "import builtins\nbuiltins.customized = True\n").parent
    program = """
        import subprocess, sys
        assert customized
        subprocess.run([sys.executable, "-c", "import torch; print(customized, torch.__name__)"], check=True)
    """
    assert run(tmp_path, program, path=(site,)) == "True rushlight\n"


METRICS = """
    import subprocess, sys
    import torchmetrics, torchmetrics.functional.classification as C
    print(torchmetrics.__name__, C.__name__, torchmetrics.Accuracy.__module__.partition(".")[0])
    if "child" not in sys.argv:
        sys.stdout.flush()
        subprocess.run([sys.executable, __file__, "child"], check=True)
"""


@pytest.mark.skipif(
    any((Path(entry) / "torchmetrics").is_dir() for entry in sys.path if "site-packages" in entry),
    reason="torchmetrics itself is installed",
)
def test_torchmetrics_is_ours_where_it_is_missing(tmp_path: Path) -> None:
    expected = "rushlight.metrics rushlight.metrics.functional.classification rushlight\n"
    assert run(tmp_path, METRICS) == expected * 2


def test_an_installed_torchmetrics_runs_on_rushlight(tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, "torchmetrics/__init__.py", "import torch\nclass Accuracy(torch.nn.Module): pass\n")
    write(other, "torchmetrics/functional/__init__.py", "")
    write(other, "torchmetrics/functional/classification.py", "")
    expected = "torchmetrics torchmetrics.functional.classification torchmetrics\n"
    assert run(tmp_path, METRICS, path=(other,)) == expected * 2


@pytest.fixture
def other_torch(tmp_path: Path) -> Path:
    """A folder with a package `torch` that stands for PyTorch itself."""
    write(tmp_path, "other/torch/__init__.py", "who = 'PyTorch'\n")
    write(tmp_path, "other/torch/nn.py", "")
    write(tmp_path, "other/torch-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    return tmp_path / "other"


def test_importing_rushlight_leaves_an_installed_torch_alone(tmp_path: Path, other_torch: Path) -> None:
    program = """
        import rushlight, torch, importlib.metadata, os
        print(torch.who, importlib.metadata.version("torch"), "_shim" in os.environ["PYTHONPATH"])
        try:
            rushlight.install()
        except ImportError as error:
            print(error.name, "must be called before" in str(error), torch.__file__ in str(error))
    """
    script = write(tmp_path, "plain.py", program)
    done = call([*PLAIN, str(script)], tmp_path, (other_torch,))
    assert done.stdout == "PyTorch 9.9 False\ntorch True True\n", done.stderr


def test_install_takes_precedence_over_an_installed_torch(tmp_path: Path, other_torch: Path) -> None:
    program = """
        import rushlight, subprocess, sys
        rushlight.install()
        rushlight.install()
        import torch, torch.nn, importlib.metadata
        print(torch is rushlight, torch.nn is rushlight.nn, importlib.metadata.version("torch"), flush=True)
        subprocess.run([sys.executable, "-c", "import torch; print(torch.__name__)"], check=True)
    """
    script = write(tmp_path, "plain.py", program)
    done = call([*PLAIN, str(script)], tmp_path, (other_torch,))
    assert done.stdout == "True True 2.13.0\nrushlight\n", done.stderr


def test_version_and_usage(tmp_path: Path) -> None:
    from rushlight.version import rushlight as release

    command = [sys.executable, "-m", "rushlight"]
    assert call([*command, "--version"], tmp_path).stdout == f"rushlight {release} (PyTorch 2.13.0)\n"
    assert call([*command, "--help"], tmp_path).stdout.startswith("usage: rushlight run script.py")
    wrong = call([*command, "walk"], tmp_path)
    assert wrong.returncode == 2 and wrong.stderr.startswith("usage:") and not wrong.stdout


def test_the_version_compares_as_a_version() -> None:
    version = rushlight.__version__
    assert isinstance(version, str) and version == "2.13.0+rushlight" and version != "2.13.0"
    assert version >= (2, 10) and version > "2.9.1" and version > (2, 13) and version < "2.13.1.dev1"
    assert not version < "2.4" and version != "parrot" and version < "parrot"
    with pytest.raises(TypeError, match="'<' not supported"):
        version < 3  # noqa: B015
    assert {version: 1}["2.13.0+rushlight"] == 1


def test_versions_are_ordered_as_pep_440_orders_them() -> None:
    from rushlight.version import TorchVersion

    ascending = re.findall(
        r"\S+",
        "0 2.9.1 2.13.0.dev3 2.13.0a1.dev2 2.13.0a1 2.13.0a1.post3.dev1 2.13.0-beta 2.13.0c2 2.13 2.13.0+cpu.9 "
        "2.13.0+cpu.10 2.13.0+rushlight 2.13.0+1.2 2.13.0.post1 2.13.1 10 1!0.1",
    )
    for n, low in enumerate(ascending):
        assert TorchVersion(low) == low and TorchVersion(low) <= low
        for high in ascending[n + 1 :]:
            assert TorchVersion(low) < high < TorchVersion("99!0") and TorchVersion(high) > low, (low, high)
    assert TorchVersion("2.13.0") == TorchVersion("v2.13") == (2, 13, 0, 0)


def test_classes_say_that_they_come_from_torch(tmp_path: Path) -> None:
    """Programs print types; what `import torch` gives must not tell whose it is, and must still be picklable."""
    program = """\
    import pickle
    import torch
    layer = torch.nn.Linear(1, 1)  # loaded by the attribute of torch, not by an import
    print(type(torch.ones(1)), type(layer), type(layer.weight), torch.dtype, torch.Size, torch.device, torch.no_grad)
    from torch.utils.data import TensorDataset
    print(TensorDataset, torch.optim.SGD, torch.optim.lr_scheduler.StepLR)
    again = pickle.loads(pickle.dumps([layer, torch.ones(1)]))
    print(again[0], again[1])
    """
    assert run(tmp_path, textwrap.dedent(program)).splitlines() == [
        "<class 'torch.Tensor'> <class 'torch.nn.modules.linear.Linear'> <class 'torch.nn.parameter.Parameter'> "
        "<class 'torch.dtype'> <class 'torch.Size'> <class 'torch.device'> <class 'torch.autograd.grad_mode.no_grad'>",
        "<class 'torch.utils.data.dataset.TensorDataset'> <class 'torch.optim.sgd.SGD'> <class 'torch.optim.lr_scheduler.StepLR'>",
        "Linear(in_features=1, out_features=1, bias=True) tensor([1.])",
    ]
