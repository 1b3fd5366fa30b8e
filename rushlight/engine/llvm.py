"""LLVM: IR text to machine code in this process, kept on disk. The only file that imports llvmlite.

`load(source)` gives the addresses of a module's functions. The source is compiled for the host CPU once; its object
code is kept in the cache directory under a name made from the text, the versions and the CPU, so that the next
process links it in a fraction of a millisecond. Everything here works from any thread.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import config
from ..version import rushlight as _VERSION

#: Whether native code can be made here at all.
AVAILABLE = config.NATIVE and importlib.util.find_spec("llvmlite") is not None

# One thread at a time is inside LLVM, as llvmlite has it, and none while the process forks: a child would find LLVM's
# own locks taken by a thread that it does not have.
#: Bytes that the cache directory may have; beyond them the files that were not used for longest are removed.
CACHE_BYTES = 256 << 20
#: Seconds between two looks at its size, whichever process looks.
_SWEEP_EVERY = 24 * 3600

_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


@dataclass
class Counts:
    """What compiling has cost so far, for `rushlight.report()`."""

    compiled: int = 0
    loaded: int = 0  # found in the cache directory
    seconds: float = 0.0


counts = Counts()


@dataclass(eq=False)
class Code:
    """The functions of one module; the machine code lives as long as this object."""

    addresses: dict[str, int]
    _tracker: Any = field(repr=False)
    _callees: Sequence[Code] = field(default=(), repr=False)  # other modules, whose functions it calls

    def __del__(self) -> None:
        if not sys.is_finalizing():  # then a thread that has the lock may have ended with it
            with _lock:  # as in `_compile`
                del self._tracker


class _Machine:
    """The compiler for the host CPU. Made when the first kernel is needed: importing llvmlite takes 50 ms."""

    def __init__(self) -> None:
        import llvmlite
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.llvm = llvm
        self.triple = llvm.get_process_triple()
        self.cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        self.features = {name for name, on in features.items() if on}
        flags = features.flatten()
        self.target = llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu, features=flags, opt=2, reloc="pic", codemodel="jitdefault", jit=True
        )
        self.jit = llvm.create_lljit_compiler(self.target)
        identity = f"{_VERSION} {llvmlite.__version__} {llvm.llvm_version_info} {self.triple} {self.cpu} {flags}"
        self.identity = identity.encode()
        self.count = 0


_machine_of: dict[int, _Machine] = {}


def _machine() -> _Machine:
    if not _machine_of:
        with _lock:
            if not _machine_of:
                _machine_of[0] = _Machine()
    return _machine_of[0]


def host_features() -> set[str]:
    """The CPU features that LLVM knows of, by its names: "avx512f", "fma", "neon"."""
    return _machine().features


def vector_registers() -> tuple[int, int]:
    """How many vector registers the host has, and their width in bits."""
    features = host_features()
    if "avx512f" in features:
        return 32, 512
    if "avx" in features:
        return 16, 256
    if _machine().triple.startswith(("aarch64", "arm64")):
        return 32, 128
    return 16, 128


def converts_float16() -> bool:
    """Whether the host converts between float16 and float32; elsewhere LLVM would call functions that this process may not have."""
    return "f16c" in host_features() or _machine().triple.startswith(("aarch64", "arm64"))


def multiplies_pairs() -> bool:
    """Whether the host multiplies pairs of bfloat16."""
    return "avx512bf16" in host_features()


def vector_width() -> int:
    """The width of the host's vector registers in bits."""
    return vector_registers()[1]


def _sha256(content: bytes) -> Any:
    import hashlib  # it loads OpenSSL, which a program without kernels need not wait for

    return hashlib.sha256(content)


def load(source: str, names: Sequence[str], callees: Sequence[Code] = ()) -> Code:
    """The machine code of a module, with the addresses of the functions `names`; it may call those of `callees`."""
    machine = _machine()
    start = time.perf_counter()
    digest = _sha256(machine.identity + source.encode()).hexdigest()[:40]
    path = os.path.join(config.CACHE, digest[:2], digest + ".o") if config.CACHE else ""
    image = _read(path, digest)
    with _lock:
        if image is not None:
            try:
                code = _link(machine, image, names, callees)
                counts.loaded += 1
                return code
            except RuntimeError:
                image = None  # not the object it was: compile it again
    image = _compile(machine, source)
    with _lock:
        code = _link(machine, image, names, callees)
        counts.compiled += 1
        counts.seconds += time.perf_counter() - start
    _write(path, digest, image)
    return code


def _compile(machine: _Machine, source: str) -> bytes:
    llvm = machine.llvm
    with _lock:
        context = llvm.context.create_context()
        module = llvm.parse_assembly(source, context)
        module.triple = machine.triple
        module.data_layout = str(machine.target.target_data)
        module.verify()
        if config.DEBUG >= 4:
            print(source, file=sys.stderr)
        image: bytes = machine.target.emit_object(module)
        # What is released takes llvmlite's lock: here, not behind ours, or a child that is forked meanwhile would wait for it for ever.
        del module, context
        return image


def _link(machine: _Machine, image: bytes, names: Sequence[str], callees: Sequence[Code]) -> Code:
    machine.count += 1
    builder = machine.llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
    for name in names:
        builder.export_symbol(name)
    for callee in callees:
        for name, address in callee.addresses.items():
            builder.import_symbol(name, address)
    tracker = builder.link(machine.jit, f"rushlight{machine.count}")
    return Code({name: tracker[name] for name in names}, tracker, callees)


# Files: digest of the object, then the object, so that half a file or a damaged one counts as none.


def _read(path: str, digest: str) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return None
    found, image = content[:32], content[32:]
    if not image or _sha256(digest.encode() + image).digest() != found:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now
    return image


def _write(path: str, digest: str, image: bytes) -> None:
    if not path:
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_sha256(digest.encode() + image).digest() + image)
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
        _sweep_if_due()
    except OSError:
        return  # a read-only or full disk: the code is compiled again next time


def _sweep_if_due() -> None:
    """Look at the size of the cache directory if nobody has for long; an empty file's time says when that was."""
    stamp = os.path.join(config.CACHE, "swept")
    try:
        if time.time() - os.stat(stamp).st_mtime < _SWEEP_EVERY:
            return
    except FileNotFoundError:
        pass
    with open(stamp, "w"):
        pass
    os.utime(stamp)
    threading.Thread(target=sweep, name="rushlight cache", daemon=True).start()


def sweep() -> None:
    """Remove the files of the cache directory that were not used for longest, until three quarters of `CACHE_BYTES` are left."""
    files = []
    for folder, _, names in os.walk(config.CACHE):
        for name in names:
            if len(name) == 42 and name.endswith(".o"):
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = os.stat(path)
                    files.append((status.st_mtime, status.st_size, path))
    size = sum(file[1] for file in files)
    if size <= CACHE_BYTES:
        return
    for _, each, path in sorted(files):
        if size <= CACHE_BYTES * 3 // 4:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
        size -= each
