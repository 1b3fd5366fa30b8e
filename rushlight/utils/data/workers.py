"""The parent's side of a `DataLoader`'s workers: processes or threads that answer tasks."""

from __future__ import annotations

import os
import queue
import threading
import time
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from .worker import Job, place, process_main, thread_main

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

#: How long, in seconds, closing waits for workers that are busy before it terminates them.
CLOSE_SECONDS = 5.0


class ProcessWorkers:
    """Worker processes, each at the other end of a connection of its own.

    One connection per worker means no lock that a dying worker could hold, and its end of file tells of the death.
    `listening[i]` is False once worker i was told to finish or was found dead.
    """

    def __init__(self, job: Job, context: BaseContext) -> None:
        self._owner = os.getpid()
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection] = []
        self.listening: list[bool] = []
        _live.add(self)
        try:
            for worker_id in range(job.num_workers):
                self._start(job, worker_id, context)
        except BaseException:
            self.close()
            raise

    def _start(self, job: Job, worker_id: int, context: BaseContext) -> None:
        from pickle import PicklingError

        ours, theirs = context.Pipe()
        self._connections.append(ours)
        try:
            process = context.Process(  # type: ignore[attr-defined]
                target=process_main, args=(job, worker_id, theirs), daemon=True
            )
            process.start()
        except (TypeError, AttributeError, PicklingError):
            warnings.warn(
                "Got pickle error when attempting to start a worker Process. "
                "This might be because the worker Process arguments are not picklable. "
                "Python 3.14+ changed the multiprocessing start method in non-Mac POSIX platforms "
                "to 'forkserver', which requires the worker Process arguments to be picklable. "
                "You can also try multiprocessing.set_start_method('fork').",
                stacklevel=2,
            )
            raise
        finally:
            theirs.close()
        self._processes.append(process)
        self.listening.append(True)

    def send(self, worker_id: int, task: Any) -> None:
        """Give a worker a task; a worker that is dead is noticed by `receive`."""
        try:
            self._connections[worker_id].send(task)
        except OSError:
            return

    def finish(self, worker_id: int) -> None:
        """Let a worker go that has nothing more to do."""
        self.send(worker_id, None)
        self.listening[worker_id] = False

    def receive(self, timeout: float | None) -> tuple[Any, Any] | None:
        """The next answer of any worker, None after `timeout` seconds; RuntimeError when a worker has died."""
        from multiprocessing.connection import wait

        from .transport import receive_message

        sources: dict[Any, int] = {}
        for worker_id, listening in enumerate(self.listening):
            if listening:
                sources[self._connections[worker_id]] = worker_id
                sources[self._processes[worker_id].sentinel] = worker_id
        ready = wait(list(sources), timeout)
        if not ready:
            return None
        dead: set[int] = set()
        # Connections first: a worker may have answered before it died.
        for source in sorted(ready, key=lambda source: isinstance(source, int)):
            worker_id = sources[source]
            if isinstance(source, int):
                dead.add(worker_id)
                continue
            try:
                return receive_message(source, place(worker_id))  # type: ignore[arg-type]
            except (EOFError, OSError):
                dead.add(worker_id)
        raise self._died(sorted(dead))

    def _died(self, worker_ids: list[int]) -> RuntimeError:
        processes = []
        for worker_id in worker_ids:
            self.listening[worker_id] = False
            process = self._processes[worker_id]
            process.join(1.0)  # for the exit code
            processes.append(process)
        error = RuntimeError(
            f"DataLoader worker (pid(s) {', '.join(str(process.pid) for process in processes)}) exited unexpectedly"
        )
        error.__cause__ = RuntimeError(_cause_of_death(processes[0]))
        return error

    def close(self) -> None:
        """Let all workers go; those that are still busy after `CLOSE_SECONDS` are terminated."""
        _live.discard(self)
        if os.getpid() != self._owner:
            return
        for worker_id in range(len(self._processes)):
            self.finish(worker_id)
        for connection in self._connections:
            connection.close()
        deadline = time.monotonic() + CLOSE_SECONDS
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.terminate()
                process.join(CLOSE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def abandon(self) -> None:
        """In a forked child: drop the copies of the parent's ends, or workers would not see them close."""
        for connection in self._connections:
            connection.close()


def _cause_of_death(process: BaseProcess) -> str:
    import signal

    code = process.exitcode
    if code is not None and code < 0:
        return f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)}. "
    return (
        f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. "
        "Details are lost due to multiprocessing. Rerunning with num_workers=0 may give better error trace."
    )


_live: weakref.WeakSet[ProcessWorkers] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for workers in list(_live):
        workers.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class ThreadWorkers:
    """Worker threads with the interface of `ProcessWorkers`. They share the dataset with the main thread."""

    def __init__(self, job: Job) -> None:
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._tasks: list[queue.SimpleQueue[Any]] = []
        self.listening: list[bool] = []
        self._closed = threading.Event()
        for worker_id in range(job.num_workers):
            tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._tasks.append(tasks)
            self.listening.append(True)
            # The thread holds the queues and not `self`, which can so be collected while threads wait.
            threading.Thread(
                target=_run_thread, args=(job, worker_id, tasks, self._answers, self._closed), daemon=True
            ).start()

    def send(self, worker_id: int, task: Any) -> None:
        """Give a worker a task."""
        self._tasks[worker_id].put(task)

    def finish(self, worker_id: int) -> None:
        """Let a worker go that has nothing more to do."""
        self.send(worker_id, None)
        self.listening[worker_id] = False

    def receive(self, timeout: float | None) -> tuple[Any, Any] | None:
        """The next answer of any worker, None after `timeout` seconds; RuntimeError when a worker has ended."""
        try:
            key, data = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(key, _ThreadEnded):
            self.listening[key.worker_id] = False
            error = RuntimeError(f"DataLoader worker (thread {key.worker_id}) exited unexpectedly")
            error.__cause__ = key.error
            raise error
        return key, data

    def close(self) -> None:
        """Let all workers go; what they are busy with, they finish."""
        self._closed.set()
        for worker_id in range(len(self._tasks)):
            self.finish(worker_id)


class _ThreadEnded:
    """In place of a key: the worker thread has ended with an error that is no `Exception`."""

    def __init__(self, worker_id: int, error: BaseException) -> None:
        self.worker_id = worker_id
        self.error = error


def _run_thread(
    job: Job, worker_id: int, tasks: queue.SimpleQueue[Any], answers: queue.SimpleQueue[Any], closed: threading.Event
) -> None:
    def receive() -> Any:
        task = tasks.get()
        return None if closed.is_set() else task

    def send(key: Any, data: Any) -> None:
        answers.put((key, data))

    try:
        thread_main(job, worker_id, receive, send)
    except BaseException as error:
        answers.put((_ThreadEnded(worker_id, error), None))


def start_workers(job: Job, context: Any) -> ProcessWorkers | ThreadWorkers:
    """Workers for this job: threads for the context "thread", else processes."""
    if context == "thread":
        return ThreadWorkers(job)
    if context is None:
        import multiprocessing

        context = multiprocessing.get_context()
    return ProcessWorkers(job, context)


