"""Jobs that the chunks of a call claim one by one, for calls whose chunks have room of their own.

A chunk works until no job is left, so a call needs no more chunks, and of their rooms no more are touched, than threads take part; a thread that
is held up has claimed one job, not its share of all. What a job does must not depend on who does it, or when.

Three words say which are left. The first one counts claims: every chunk ends with one in vain, and whose claim is the last of all sets it back
for the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .emit import Builder, Loop, Value

#: How many words there are.
WORDS = 3


def claims(jobs: int, chunks: int) -> tuple[int, int, int]:
    """The words of so many jobs: claims, jobs, and the last claim."""
    return 0, jobs, jobs + chunks - 1


@contextmanager
def claimed(k: Builder, word: int, carried: Sequence[Value] = ()) -> Iterator[Loop]:
    """``for index in the jobs that this chunk claims``: see `Builder.loop`; the words begin with `word`."""
    counter, *others = (k.address(k.parameters["args"], word + n, "i64") for n in range(WORDS))
    jobs, last = (k.load(address, "i64") for address in others)
    one_claim = f"atomicrmw add ptr {counter.text}, i64 1 monotonic, align 8"
    with k.repeat(lambda: k.new(one_claim, "i64"), jobs, carried) as turn:
        yield turn
    reset, done = k.fresh("reset"), k.fresh("done")
    k.branch(k.compare("eq", turn.index, last), reset, done)
    k.label(reset)
    k.do(f"store atomic i64 0, ptr {counter.text} monotonic, align 8")
    k.jump(done)
    k.label(done)
