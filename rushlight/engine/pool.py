"""The thread pool: chunks of a kernel shared among threads, as native code.

A caller publishes a region (a kernel, its arguments, so many chunks), takes chunks itself until none is left, and
waits for those that workers have taken. It never waits for a worker that has not begun: on a busy machine the caller
does the work alone at one core's full speed.

Why it is right. ``remaining`` counts the chunks that nobody has claimed, and only two things write it: the caller, who
raises it from zero when all else of the region stands, and claims, each of which lowers it by one with a
compare-and-swap. So every claim is of one chunk of the region that is published at that moment, whatever the claimer
had seen before: one that slept between its load and its swap, through any number of regions, either fails or claims
a chunk of the present one. What to run is read only after a claim. From then until the claimer adds to ``done`` the
caller cannot leave the region, so nobody overwrites what it reads, and no addition to ``done`` comes late. The caller's
store to ``remaining`` releases, claims acquire (and go on releasing, each being a read-modify-write); additions to
``done`` release and the caller's load of it acquires; so the kernel's data are ordered as well.

Idle workers look at ``remaining`` for about 80 us, give way a few times, then sleep on a condition variable. A worker
says that it sleeps before it looks a last time, and the caller publishes before it looks for sleepers, both in
sequentially consistent order: one of them sees the other.

One caller at a time has the workers; another one meanwhile runs its chunks by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

from .. import config
from . import llvm

#: How long an idle worker looks for work before it sleeps: longer than the Python between two steps of a tape.
SPIN_MICROSECONDS = 80
_YIELDS = 16

#: A hint to the core that this is a waiting loop.
_PAUSE = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}
_NO_PAUSE = ("", "fence syncscope(\"singlethread\") seq_cst")

# Each word that threads fight for has a cache line (two, where lines are fetched in pairs) of its own.
_SOURCE = """\
@remaining = internal global i32 0, align 128
@done = internal global i32 0, align 128
@kernel = internal global ptr null, align 128
@arguments = internal global ptr null
@chunks = internal global i32 0
@taken = internal global i32 0, align 128
@sleeping = internal global i32 0, align 128
@wanted = internal global i32 0, align 128
@started = internal global i32 0
@turns = internal global i32 4000
@mutex = internal global [128 x i8] zeroinitializer, align 128
@condition = internal global [128 x i8] zeroinitializer, align 128

declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @sched_yield()
{declare_pause}

; No workers, nothing published: the state of a fresh process and of a child after fork.
define void @reset() {{
  store atomic i32 0, ptr @remaining seq_cst, align 4
  store atomic i32 0, ptr @done seq_cst, align 4
  store atomic i32 0, ptr @taken seq_cst, align 4
  store atomic i32 0, ptr @sleeping seq_cst, align 4
  store atomic i32 0, ptr @started seq_cst, align 4
  %m = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %c = call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}}

; How many workers there shall be; those too many retire by themselves, those missing start with the next region.
define void @resize(i32 %count) {{
  store atomic i32 %count, ptr @wanted seq_cst, align 4
  call void @wake()
  ret void
}}

define void @set_turns(i32 %count) {{
  store atomic i32 %count, ptr @turns monotonic, align 4
  ret void
}}

define i32 @workers() {{
  %count = load atomic i32, ptr @started seq_cst, align 4
  ret i32 %count
}}

define void @pause(i64 %count) {{
entry:
  br label %again
again:
  %n = phi i64 [0, %entry], [%next, %again]
  {pause}
  %next = add i64 %n, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %again, label %out
out:
  ret void
}}

define internal void @wake() {{
  ; Whoever said that it sleeps is in the wait, or will look once more, when the lock has been ours.
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  %b = call i32 @pthread_cond_broadcast(ptr @condition)
  ret void
}}

; Sleep until something may have happened, unless it has.
define internal void @sleep() {{
entry:
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %s0 = atomicrmw add ptr @sleeping, i32 1 seq_cst
  %left = load atomic i32, ptr @remaining seq_cst, align 4
  %wanted = load atomic i32, ptr @wanted seq_cst, align 4
  %started = load atomic i32, ptr @started seq_cst, align 4
  %idle = icmp eq i32 %left, 0
  %enough = icmp sle i32 %started, %wanted
  %nothing = and i1 %idle, %enough
  br i1 %nothing, label %wait, label %out
wait:
  %w = call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %out
out:
  %s1 = atomicrmw sub ptr @sleeping, i32 1 seq_cst
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}}

; Claim chunks and run them until none is left; the number of those run.
define internal i32 @drain() {{
entry:
  br label %look
look:
  %count = phi i32 [0, %entry], [%count, %claim], [%counted, %run]
  %left = load atomic i32, ptr @remaining monotonic, align 4
  %none = icmp eq i32 %left, 0
  br i1 %none, label %out, label %claim
claim:
  %less = sub i32 %left, 1
  %swap = cmpxchg ptr @remaining, i32 %left, i32 %less acq_rel monotonic, align 4
  %won = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %won, label %run, label %look
run:
  %kernel = load ptr, ptr @kernel
  %arguments = load ptr, ptr @arguments
  %chunks = load i32, ptr @chunks
  %index = sub i32 %chunks, %left
  %chunk = zext i32 %index to i64
  call void %kernel(ptr %arguments, i64 %chunk)
  %counted = add i32 %count, 1
  br label %look
out:
  ret i32 %count
}}

define internal ptr @worker(ptr %unused) {{
entry:
  br label %look
look:
  %turn = phi i32 [0, %entry], [0, %work], [0, %doze], [%next, %rest], [%next, %give_way], [%next, %retire]
  %left = load atomic i32, ptr @remaining monotonic, align 4
  %any = icmp ne i32 %left, 0
  br i1 %any, label %work, label %idle
work:
  %mine = call i32 @drain()
  %before = atomicrmw add ptr @done, i32 %mine release
  br label %look
idle:
  %next = add i32 %turn, 1
  %wanted = load atomic i32, ptr @wanted monotonic, align 4
  %started = load atomic i32, ptr @started monotonic, align 4
  %surplus = icmp sgt i32 %started, %wanted
  br i1 %surplus, label %retire, label %stay
retire:
  %fewer = sub i32 %started, 1
  %swap = cmpxchg ptr @started, i32 %started, i32 %fewer seq_cst monotonic, align 4
  %gone = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %gone, label %leave, label %look
leave:
  ret ptr null
stay:
  %turns = load atomic i32, ptr @turns monotonic, align 4
  %early = icmp slt i32 %next, %turns
  br i1 %early, label %rest, label %late
rest:
  {pause}
  br label %look
late:
  %limit = add i32 %turns, {yields}
  %patient = icmp slt i32 %next, %limit
  br i1 %patient, label %give_way, label %doze
give_way:
  %y = call i32 @sched_yield()
  br label %look
doze:
  call void @sleep()
  br label %look
}}

; Start the missing workers. Signals are the business of the program's own threads: workers block them all.
define internal void @hire(i32 %wanted) {{
entry:
  %all = alloca [128 x i8], align 8
  %old = alloca [128 x i8], align 8
  %thread = alloca i64
  %f = call i32 @sigfillset(ptr %all)
  %b = call i32 @pthread_sigmask(i32 {set_mask}, ptr %all, ptr %old)
  br label %look
look:
  %started = load atomic i32, ptr @started seq_cst, align 4
  %enough = icmp sge i32 %started, %wanted
  br i1 %enough, label %out, label %start
start:
  %s0 = atomicrmw add ptr @started, i32 1 seq_cst
  %failed = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr null)
  %good = icmp eq i32 %failed, 0
  br i1 %good, label %detach, label %refused
detach:
  %handle = load i64, ptr %thread
  %d = call i32 @pthread_detach(i64 %handle)
  br label %look
refused:
  ; The system gives no more threads: do with those there are.
  %s1 = atomicrmw sub ptr @started, i32 1 seq_cst
  %fewer = sub i32 %s1, 1
  store atomic i32 %fewer, ptr @wanted seq_cst, align 4
  br label %out
out:
  %r = call i32 @pthread_sigmask(i32 {set_mask}, ptr %old, ptr null)
  ret void
}}

; Run chunks 0 to count - 1 of a kernel and return when all have ended.
define void @parallel(ptr %kernel, ptr %arguments, i64 %count) {{
entry:
  %wanted = load atomic i32, ptr @wanted monotonic, align 4
  %alone = icmp eq i32 %wanted, 0
  %single = icmp slt i64 %count, 2
  %plain = or i1 %alone, %single
  br i1 %plain, label %serial, label %take
take:
  %swap = cmpxchg ptr @taken, i32 0, i32 1 acquire monotonic, align 4
  %ours = extractvalue {{ i32, i1 }} %swap, 1
  br i1 %ours, label %begin, label %serial
begin:
  %started = load atomic i32, ptr @started monotonic, align 4
  %short = icmp slt i32 %started, %wanted
  br i1 %short, label %more, label %publish
more:
  call void @hire(i32 %wanted)
  br label %publish
publish:
  %chunks = trunc i64 %count to i32
  store ptr %kernel, ptr @kernel
  store ptr %arguments, ptr @arguments
  store i32 %chunks, ptr @chunks
  store atomic i32 0, ptr @done monotonic, align 4
  store atomic i32 %chunks, ptr @remaining seq_cst, align 4
  %sleeping = load atomic i32, ptr @sleeping seq_cst, align 4
  %asleep = icmp ne i32 %sleeping, 0
  br i1 %asleep, label %rouse, label %share
rouse:
  call void @wake()
  br label %share
share:
  %mine = call i32 @drain()
  %others = sub i32 %chunks, %mine
  %turns = load atomic i32, ptr @turns monotonic, align 4
  br label %join
join:
  %turn = phi i32 [0, %share], [%next, %rest], [%turn, %give_way]
  %done = load atomic i32, ptr @done acquire, align 4
  %complete = icmp eq i32 %done, %others
  br i1 %complete, label %leave, label %wait
wait:
  %next = add i32 %turn, 1
  %early = icmp slt i32 %next, %turns
  br i1 %early, label %rest, label %give_way
rest:
  {pause}
  br label %join
give_way:
  %y = call i32 @sched_yield()
  br label %join
leave:
  store atomic i32 0, ptr @taken release, align 4
  ret void
serial:
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %turn_one, label %end
turn_one:
  %chunk = phi i64 [0, %serial], [%following, %turn_one]
  call void %kernel(ptr %arguments, i64 %chunk)
  %following = add i64 %chunk, 1
  %unfinished = icmp slt i64 %following, %count
  br i1 %unfinished, label %turn_one, label %end
end:
  ret void
}}
"""

#: On a system without POSIX threads the caller runs all chunks.
_SERIAL_SOURCE = """\
define void @parallel(ptr %kernel, ptr %arguments, i64 %count) {
entry:
  br label %look
look:
  %chunk = phi i64 [0, %entry], [%next, %run]
  %more = icmp slt i64 %chunk, %count
  br i1 %more, label %run, label %end
run:
  call void %kernel(ptr %arguments, i64 %chunk)
  %next = add i64 %chunk, 1
  br label %look
end:
  ret void
}
"""


class _Native:
    """The pool's machine code, loaded once in a process and never released."""

    def __init__(self) -> None:
        self.threaded = os.name == "posix"
        if not self.threaded:
            self.code = llvm.load(_SERIAL_SOURCE, ("parallel",))
            return
        declare_pause, pause = _PAUSE.get(os.uname().machine.replace("arm64", "aarch64"), _NO_PAUSE)
        source = _SOURCE.format(declare_pause=declare_pause, pause=pause, yields=_YIELDS, set_mask=int(signal.SIG_SETMASK))
        self.code = llvm.load(source, ("parallel", "reset", "resize", "set_turns", "workers", "pause"))
        addresses = self.code.addresses
        self.reset = ctypes.CFUNCTYPE(None)(addresses["reset"])
        self.resize = ctypes.CFUNCTYPE(None, ctypes.c_int32)(addresses["resize"])
        self.workers = ctypes.CFUNCTYPE(ctypes.c_int32)(addresses["workers"])
        self.reset()
        self._calibrate()
        os.register_at_fork(after_in_child=self.reset)

    def _calibrate(self) -> None:
        """How many pauses make `SPIN_MICROSECONDS`: a pause takes 10 to 150 cycles."""
        addresses = self.code.addresses
        pause = ctypes.CFUNCTYPE(None, ctypes.c_int64)(addresses["pause"])
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            pause(1_000)
            best = min(best, time.perf_counter() - start)
        turns = min(max(round(SPIN_MICROSECONDS / (best * 1e6) * 1_000), 100), 200_000)
        ctypes.CFUNCTYPE(None, ctypes.c_int32)(addresses["set_turns"])(turns)


_lock = threading.Lock()
_native: _Native | None = None
_threads: int | None = None


def _load() -> _Native:
    global _native
    with _lock:
        if _native is None:
            native = _Native()
            if native.threaded:
                native.resize(get_threads() - 1)
            _native = native
    return _native


def get_threads() -> int:
    """How many threads share the chunks of a kernel, the caller among them."""
    return config.threads() if _threads is None else _threads


def set_threads(count: int) -> None:
    """Change the number of threads. New ones start when they are needed."""
    global _threads
    if count < 1:
        raise ValueError(f"the number of threads must be positive, not {count}")
    _threads = count
    if _native is not None and _native.threaded:
        _native.resize(count - 1)


def parallel() -> int:
    """The address of ``void parallel(kernel, ptr args, i64 chunks)``: runs all chunks and returns when they have ended."""
    native = _native if _native is not None else _load()
    return native.code.addresses["parallel"]


def workers() -> int:
    """How many worker threads there are at the moment."""
    return _native.workers() if _native is not None and _native.threaded else 0
