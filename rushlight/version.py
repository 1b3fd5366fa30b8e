"""Versions: Rushlight's own, PyTorch's whose interface this is, and how `torch.__version__` compares."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

rushlight: Final = "0.1.0"

debug: Final = False
cuda: Final[str | None] = None
hip: Final[str | None] = None
rocm: Final[str | None] = None
xpu: Final[str | None] = None
git_version: Final = "Unknown"

# PEP 440, https://packaging.python.org/en/latest/specifications/version-specifiers/
#: Compiled when versions are first compared.
_VERSION: Final = r"""\s*v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>\d*))?
    (?P<post>-(?P<post_bare>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_n>\d*))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*"""
_PHASES: Final = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_FIRST, _LAST = (-1,), (1,)


def _sort_key(text: str) -> tuple[Any, ...] | None:
    """What orders versions by PEP 440, or None if `text` is not a version."""
    match = re.fullmatch(_VERSION, text, re.VERBOSE | re.IGNORECASE)
    if match is None:
        return None
    release = [int(part) for part in match["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    if match["pre"]:
        name = match["pre"].lower()
        pre: tuple[Any, ...] = (0, _PHASES.get(name, name), int(match["pre_n"] or 0))
    else:
        # A development release of a final one comes before that one's pre-releases.
        pre = _FIRST if match["dev"] and not match["post"] else _LAST
    post = (0, int(match["post_bare"] or match["post_n"] or 0)) if match["post"] else _FIRST
    dev = (0, int(match["dev_n"] or 0)) if match["dev"] else _LAST
    # In a local version numbers come after words.
    words = re.split(r"[-_.]", match["local"].lower()) if match["local"] else []
    local = [(1, int(word), "") if word.isdigit() else (0, 0, word) for word in words]
    return int(match["epoch"] or 0), release, pre, post, dev, bool(words), local


class TorchVersion(str):
    """A string that compares as a version, with strings, tuples and `packaging`'s versions.

    >>> torch.__version__ >= (2, 10), torch.__version__ < "2.9.1"
    (True, False)
    """

    __slots__ = ()
    __hash__ = str.__hash__

    def _compare(self, other: Any, method: str) -> Any:
        if isinstance(other, str) or hasattr(other, "release"):
            text = str(other)
        elif isinstance(other, Iterable):
            text = ".".join(map(str, other))
        else:
            return NotImplemented
        mine, theirs = _sort_key(self), _sort_key(text)
        if mine is None or theirs is None:
            return getattr(super(), method)(other)
        return getattr(mine, method)(theirs)

    def __eq__(self, other: object) -> Any:
        return self._compare(other, "__eq__")

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, "__lt__")

    def __le__(self, other: Any) -> Any:
        return self._compare(other, "__le__")

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, "__gt__")

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, "__ge__")


__version__: Final = TorchVersion("2.13.0+rushlight")
