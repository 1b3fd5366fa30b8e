"""The chunks of a call, run by hand."""

from __future__ import annotations

import ctypes

import numpy as np

from rushlight.engine import claims
from rushlight.engine.kernel import Call
from rushlight.engine.run import load


def run_chunks(call: Call, words: np.ndarray, backwards: bool = False, jobs_at: int | None = None) -> None:
    """All chunks in either order, over words without pointers; if they claim jobs, by the words from `jobs_at` on: all jobs."""
    code = load(call.kernel)
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.addresses[call.kernel.name])
    if backwards and jobs_at is not None:
        claimed, jobs, last = (int(n) for n in words[jobs_at : jobs_at + claims.WORDS])
        assert (claimed, last) == (0, jobs + call.chunks - 1)
        for job in reversed(range(jobs)):
            words[jobs_at : jobs_at + 2] = job, job + 1  # which leaves one to claim
            kernel(words.ctypes.data, job % call.chunks)
        return
    for chunk in sorted(range(call.chunks), reverse=backwards):
        kernel(words.ctypes.data, chunk)
    assert jobs_at is None or words[jobs_at] == 0, "claims are not set back"
