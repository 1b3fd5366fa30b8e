"""Files of `torch.save` and `torch.load`: paths, archives, `map_location`, broken and foreign files, safetensors."""

import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from torch_files import CUDA_FILE, STREAM_FILE, ZIP_FILE, build, loaded, rewritten, same, saved

import rushlight as torch

# Files and paths


def test_paths_and_archive_names(tmp_path):
    """Strings and path objects work; records are in a folder named after the file."""
    for name, folder in (
        ("a.b.pt", "a.b"),
        ("noext", "noext"),
        (".hidden.pt", ".hidden"),
        ("\u00fcn\u00ef.pt", "archive"),
    ):
        torch.save(torch.ones(1), tmp_path / name)
        torch.save(torch.ones(1), str(tmp_path / name))
        assert zipfile.ZipFile(tmp_path / name).namelist()[0] == folder + "/data.pkl"
        assert torch.load(tmp_path / name).tolist() == [1.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.b.pt", "noext", ".hidden.pt", "\u00fcn\u00ef.pt"])


def test_bad_destinations(tmp_path):
    """PyTorch's errors for what cannot be written to or read from."""
    with pytest.raises(RuntimeError, match="Parent directory .*x/y does not exist."):
        torch.save(1, tmp_path / "x" / "y" / "a.pt")
    with pytest.raises(
        AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write' attribute"
    ):
        torch.save(1, 3)
    with pytest.raises(RuntimeError, match="invalid file name: .*/.pt"):
        torch.save(1, str(tmp_path / ".pt"))
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "missing.pt")
    with pytest.raises(
        AttributeError, match="'int' object has no attribute .*. You can only torch.load from a file that is seekable."
    ):
        torch.load(3)


def test_a_failed_save_keeps_the_old_file(tmp_path):
    """An error while pickling, or while writing the bytes, leaves the old file as it was and nothing else behind."""
    path = tmp_path / "model.pt"
    torch.save({"x": torch.ones(2)}, path)
    before = path.read_bytes()
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            torch.save({"x": torch.zeros(2), "f": lambda: None}, path, **options)
    with pytest.raises(RuntimeError, match="different types"):
        x = torch.zeros(4)
        torch.save([x, x.view(torch.int32)], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_saving_keeps_permissions_and_links(tmp_path):
    """A file that is replaced keeps its mode; a symbolic link still points to the file, which is new."""
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    torch.save(1, real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    torch.save(2, link)
    assert link.is_symlink() and torch.load(real) == 2
    assert real.stat().st_mode & 0o777 == 0o640


def test_files_inside_files():
    """Reading begins where the file object stands, and several streams can follow each other in one file."""
    file = io.BytesIO(b"abc" + saved([1]))
    file.seek(3)
    assert torch.load(file) == [1]
    stream = saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
    file = io.BytesIO(stream + stream)
    same([torch.load(file), torch.load(file)], [{"w": torch.ones(2)}] * 2)


def test_a_writer_without_seek():
    """Saving needs no more of a file object than `write`."""

    class Sink:
        def __init__(self):
            self.parts = []

        def write(self, data):
            self.parts.append(bytes(data))
            return len(data)

    sink = Sink()
    torch.save(torch.tensor([0.3]), sink)
    assert loaded(b"".join(sink.parts)).tolist() == pytest.approx([0.3])


def test_deflated_by_a_zip_tool():
    """A file that was unpacked and packed again with compression can still be read."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ZIP_FILE)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    same(loaded(out.getvalue()), build())


def test_mmap(tmp_path):
    """With mmap the file's bytes are the tensor's; writes stay private unless the shared flag is set."""
    path = tmp_path / "model.pt"
    torch.save({"x": torch.tensor([0.3, 0.7]), "y": torch.arange(3)}, path)
    before = path.read_bytes()
    found = torch.load(path, mmap=True)
    same(found, {"x": torch.tensor([0.3, 0.7]), "y": torch.arange(3)})
    found["x"][0] = 5.0
    assert found["x"].tolist()[0] == 5.0 and path.read_bytes() == before
    with torch.serialization.set_default_mmap_options(1):
        torch.load(path, mmap=True)["x"][0] = 5.0
    assert torch.load(path)["x"].tolist()[0] == 5.0
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        loaded(ZIP_FILE, mmap=True)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with `torch.save"):
        loaded(STREAM_FILE, mmap=True)


def test_skip_data():
    """Without data, files keep their shape and tensors theirs, all zero."""
    with torch.serialization.skip_data():
        data = saved(torch.ones(100))
        assert loaded(ZIP_FILE)["a"].tolist() == [[0.0] * 3] * 2
        with pytest.raises(RuntimeError, match="Cannot use skip_data=True"):
            saved(1, _use_new_zipfile_serialization=False)
    assert len(data) == len(saved(torch.ones(100)))
    assert loaded(data).tolist() == [0.0] * 100


def test_other_byte_order():
    """A file from a big-endian machine is swapped, by element, complex numbers by their halves."""
    values = {"f": np.array([0.3, 1.3], ">f4"), "c": np.array([1 + 2j], ">c8"), "b": np.array([1, 2], ">u1")}
    data = saved({"f": torch.tensor([0.0, 0.0]), "c": torch.tensor([0j]), "b": torch.tensor([0, 0], dtype=torch.uint8)})
    contents = {f"data/{n}": v.tobytes() for n, v in enumerate(values.values())} | {"byteorder": b"big"}
    found = loaded(rewritten(data, lambda name, content: contents.get(name, content)))
    for name, value in values.items():
        np.testing.assert_array_equal(found[name].numpy(), value.astype(value.dtype.newbyteorder("=")))
    with pytest.raises(ValueError, match="Unknown endianness type: weird"):
        loaded(rewritten(data, lambda name, content: b"weird" if name == "byteorder" else content))
    bare = rewritten(data, lambda name, content: None if name == "byteorder" else contents.get(name, content))
    torch.serialization.set_default_load_endianness(torch.serialization.LoadEndianness.BIG)
    try:
        np.testing.assert_array_equal(loaded(bare)["f"].numpy(), np.array([0.3, 1.3], np.float32))
    finally:
        torch.serialization.set_default_load_endianness(None)


# map_location


@pytest.mark.parametrize("location", ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, tag: storage])
def test_map_location(location):
    """Tensors that were saved on a GPU load onto the CPU, however that is said."""
    assert loaded(CUDA_FILE, map_location=location).tolist() == pytest.approx([0.3, 0.7])


def test_map_location_function_sees_storage_and_tag():
    """The function is asked once per storage; None means the default place."""
    seen = []

    def place(storage, tag):
        seen.append((storage.nbytes(), tag))

    loaded(saved([torch.ones(2), torch.ones(3)]), map_location=place)
    assert seen == [(8, "cpu"), (12, "cpu")]


def test_map_location_meta():
    """Nothing is read for the meta device."""
    found = loaded(
        rewritten(ZIP_FILE, lambda name, content: None if name == "data/0" else content), map_location="meta"
    )
    assert (found["a"].device.type, found["a"].shape, found["view"].stride()) == ("meta", (2, 3), (1, 3))


def test_locations_that_do_not_exist():
    """PyTorch's advice for GPU storages on a machine without one."""
    message = (
        r"Attempting to deserialize object on a CUDA device but torch.cuda.is_available\(\) is False. "
        r"If you are running on a CPU-only machine, please use torch.load with map_location=torch.device\('cpu'\) "
        "to map your storages to the CPU."
    )
    for data, location in ((CUDA_FILE, None), (ZIP_FILE, "cuda"), (ZIP_FILE, torch.device("cuda:1"))):
        with pytest.raises(RuntimeError, match=message):
            loaded(data, map_location=location)
    with pytest.raises(
        RuntimeError,
        match=r"don't know how to restore data location of torch.storage.UntypedStorage \(tagged with foo\)",
    ):
        loaded(ZIP_FILE, map_location="foo")


# Broken and foreign files


def test_truncated_zip():
    """PyTorch's text for a zip file that ends early."""
    for length in (100, len(ZIP_FILE) // 2):
        with pytest.raises(
            RuntimeError, match="PytorchStreamReader failed reading zip archive: failed finding central directory"
        ):
            loaded(ZIP_FILE[:length])


def test_truncated_stream():
    """A stream that ends early says how much is missing."""
    data = saved({"w": torch.ones(1000)}, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="unexpected EOF, expected 2000 more bytes. The file might be corrupted."):
        loaded(data[:-2000])
    with pytest.raises(EOFError):
        loaded(data[:60])
    with pytest.raises(EOFError):
        loaded(b"")


def test_foreign_files():
    """Other files are refused, not guessed at."""
    with pytest.raises(RuntimeError, match="Invalid magic number; corrupt file?"):
        loaded(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(KeyError):
        loaded(b"hello world")
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("foo.txt", "hi")
    with pytest.raises(RuntimeError, match="file in archive is not in a subdirectory: foo.txt"):
        loaded(foreign.getvalue())
    with pytest.raises(RuntimeError, match="version 99, but the maximum supported version for reading is 10"):
        loaded(rewritten(ZIP_FILE, lambda name, content: b"99" if name == "version" else content))


@pytest.mark.parametrize(
    ("record", "content", "said"),
    [
        ("data/0", None, "PytorchStreamReader failed locating file data/0: file not found."),
        ("data.pkl", None, "PytorchStreamReader failed locating file data.pkl: file not found."),
        ("data/0", b"1234", "record size .4 bytes. does not match expected size"),
        ("version", None, "Expected hasRecord"),
    ],
)
def test_missing_records(record, content, said):
    """A record that is missing or has another size is named."""
    with pytest.raises(RuntimeError, match=said):
        loaded(rewritten(ZIP_FILE, lambda name, old: content if name == record else old))


def test_layouts_outside_the_storage():
    """A file cannot make a tensor that reaches beyond its storage."""
    data = saved(torch.arange(4.0))
    at = data.index(b"K\x00K\x04\x85")
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 16"):
        loaded(data[: at + 1] + b"\x02" + data[at + 2 :])


def test_safetensors_files(tmp_path):
    """A path ending in .safetensors is read as one."""
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w": np.array([0.3, 0.7], np.float32)}, str(tmp_path / "m.safetensors"))
    same(torch.load(tmp_path / "m.safetensors"), {"w": torch.tensor([0.3, 0.7])})


def test_safetensors_library(tmp_path):
    """The library's own functions for PyTorch work on our tensors, in memory and through mapped files."""
    pytest.importorskip("safetensors")
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\n"
        "from safetensors.torch import load, load_file, save, save_file, save_model\n"
        "tensors = {'a': torch.arange(6.0).reshape(2, 3), 'h': torch.tensor([0.5], dtype=torch.bfloat16), 'e': torch.zeros(0, 2)}\n"
        f"path = {str(tmp_path / 'm.safetensors')!r}\n"
        "save_file(tensors, path)\n"
        "for found in (load_file(path), load(save(tensors)), torch.load(path)):\n"
        "    assert sorted(found) == ['a', 'e', 'h']\n"
        "    assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)\n"
        "save_model(torch.nn.Linear(2, 2), path)\n"
        "print(sorted(load_file(path)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "rushlight", "run", str(script)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("['bias', 'weight']\n", "")
