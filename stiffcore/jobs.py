"""Long computations for many viewers: a bounded queue, one worker, progress, cancel. Knows nothing of Streamlit.

A job is found by the key of what it computes: whoever asks for the same while it waits or runs joins it. A viewer that
watches a job renews that by ``watch``; when none of them has been heard of for LEASE seconds (closed tabs), the job is
cancelled. Cancelling works between two stages of a computation: its next call of ``progress`` raises Cancelled.

The worker is a thread: torch, numpy and numba (with ``nogil=True``) free Python's lock while they compute.
"""

import atexit
import itertools
import logging
import os
import sys
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.progress import Progress

CAPACITY = 16  # jobs that wait; one runs on top
LEASE = 120.0  # seconds; browsers let the timers of a hidden tab fire once a minute
KEPT = 32  # finished jobs that a reload or a second window still finds ...
KEPT_FOR = 900.0  # ... for so many seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was asked for."""

    key: str
    title: str
    status: str  # queued, running, done, failed or cancelled
    position: int  # in the queue, from 1; 0 once it has started
    done: int  # stages, of total
    total: int  # 0 as long as unknown
    what: str  # the stage at work
    seconds: float  # since it started, until it finished
    error: str | None  # a sentence for the user, of a failed job
    result: object | None  # what the work returned, of a done job
    watchers: int

    @property
    def active(self) -> bool:
        return self.status in ("queued", "running")


@dataclass(eq=False)
class _Record:
    """A job as it goes; the service's lock guards it."""

    key: str
    title: str
    work: Callable[[Progress], object] | None
    priority: int
    number: int
    watchers: dict[str, float] = field(default_factory=dict)  # watcher -> when heard of last
    status: str = "queued"
    done: int = 0
    total: int = 0
    what: str = ""
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    result: object | None = None


class JobService:
    """Runs jobs one by one in a thread of its own. Every method is safe to call from any thread and returns at once.

    capacity: jobs that may wait. clock: seconds, monotonic. prepare: called once in the worker's thread, before its first
    job; it should raise nothing.
    """

    def __init__(
        self,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[], None] = lambda: None,
    ):
        self.capacity, self._clock, self._prepare = capacity, clock, prepare
        self._changed = threading.Condition()
        self._active: dict[str, _Record] = {}  # queued and running
        self._finished: OrderedDict[str, _Record] = OrderedDict()  # the oldest first
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None  # started by the first job
        self._closed = False
        atexit.register(_end, weakref.ref(self))

    def submit(
        self,
        key: str,
        work: Callable[[Progress], object],
        *,
        title: str,
        watcher: str,
        priority: int = 0,
    ) -> Job:
        """Queue ``work(progress)``, or join the job that waits or runs under this key. Call it from a button only.

        priority: the larger, the sooner; among equals, first come, first served. Raises CannotCompute where the queue is full.
        """
        with self._changed:
            self._expire()
            record = self._active.get(key)
            if record is None:
                record = self._queue(_Record(key, title, work, priority, next(self._numbers)))
            record.priority = max(record.priority, priority)
            record.watchers[watcher] = self._clock()
            return self._snapshot(record)

    def find(self, key: str) -> Job | None:
        """The job that waits, runs or finished of late under this key. Does not count as watching."""
        with self._changed:
            self._expire()
            self._forget()
            record = self._active.get(key) or self._finished.get(key)
            return None if record is None else self._snapshot(record)

    def watch(self, key: str, watcher: str) -> Job | None:
        """Like ``find``, and tells that this viewer is still there: to be called at every look, at least twice a LEASE."""
        with self._changed:
            if key in self._active:
                self._active[key].watchers[watcher] = self._clock()
            return self.find(key)

    def cancel(self, key: str) -> Job | None:
        """Cancel the job for everybody. Its worker is free at the computation's next call of progress."""
        with self._changed:
            record = self._active.get(key)
            if record is not None:
                self._finish(record, "cancelled")
            return self.find(key)

    def active(self) -> tuple[Job, ...]:
        """The job that runs, then those that wait in their order."""
        with self._changed:
            self._expire()
            records = sorted(self._active.values(), key=lambda record: (record.status == "queued", *_order(record)))
            return tuple(self._snapshot(record) for record in records)

    def close(self, timeout: float = 2.0) -> bool:
        """Cancel everything, and wait for the worker at most so many seconds; whether it has ended."""
        with self._changed:
            self._closed = True
            for record in list(self._active.values()):
                self._finish(record, "cancelled")
            self._changed.notify_all()
            thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # All below is called with the lock held, but for _work and the call of a job's work.

    def _queue(self, record: _Record) -> _Record:
        waiting = len(self._waiting())
        if self._closed:
            raise CannotCompute("Expected a running job service, got one that was closed: start the program again.")
        if waiting >= self.capacity:
            raise CannotCompute(
                f"Expected at most {self.capacity} computations to wait, got one more: "
                "wait until one has finished, or cancel one."
            )
        self._finished.pop(record.key, None)
        self._active[record.key] = record
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
            self._thread.start()
        self._changed.notify_all()
        return record

    def _snapshot(self, record: _Record) -> Job:
        position, seconds = 0, 0.0
        if record.status == "queued":
            position = 1 + sum(_order(other) < _order(record) for other in self._waiting())
        if record.started is not None:
            seconds = (self._clock() if record.finished is None else record.finished) - record.started
        return Job(
            record.key, record.title, record.status, position, record.done, record.total, record.what, seconds,
            record.error, record.result, len(record.watchers),
        )  # fmt: skip

    def _waiting(self) -> list[_Record]:
        return [record for record in self._active.values() if record.status == "queued"]

    def _finish(self, record: _Record, status: str, *, error: str | None = None, result: object | None = None) -> None:
        """Move a job to the finished ones. One that is cancelled stays so, whatever its worker still brings."""
        if self._active.get(record.key) is not record:
            return
        del self._active[record.key]
        record.status, record.error, record.result = status, error, result
        record.finished, record.work = self._clock(), None
        self._finished[record.key] = record
        self._forget()
        self._changed.notify_all()

    def _forget(self) -> None:
        """Drop the finished jobs that are too old or too many."""
        while self._finished:
            oldest = next(iter(self._finished.values()))
            if len(self._finished) <= KEPT and self._clock() - oldest.finished <= KEPT_FOR:
                break
            del self._finished[oldest.key]

    def _expire(self) -> None:
        """Cancel the jobs that nobody has watched for the length of a lease."""
        now = self._clock()
        for record in list(self._active.values()):
            gone = [watcher for watcher, heard in record.watchers.items() if now - heard > LEASE]
            for watcher in gone:
                del record.watchers[watcher]
            if gone and not record.watchers:
                self._finish(record, "cancelled")

    def _next(self) -> _Record | None:
        """Wait for a job; None when the service is closed."""
        with self._changed:
            while not self._closed:
                self._expire()
                if waiting := self._waiting():
                    record = min(waiting, key=_order)
                    record.status, record.started = "running", self._clock()
                    return record
                self._changed.wait()
            return None

    def _work(self) -> None:
        self._prepare()
        while (record := self._next()) is not None:
            self._run(record)
            del record  # and with it the result, which may be large

    def _run(self, record: _Record) -> None:
        def progress(done: int, total: int, what: str) -> None:
            with self._changed:
                self._expire()
                if record.status != "running":
                    raise Cancelled(f"{record.title} was cancelled.")
                record.done, record.total, record.what = done, total, what

        error, result, status = None, None, "failed"
        try:
            with self._changed:
                work = record.work
            if work is not None:
                result, status = work(progress), "done"
        except Cancelled:
            status = "cancelled"
        except CannotCompute as reason:
            error = str(reason)
        except MemoryError:
            _log.exception("Job %s (%s) ran out of memory", record.key, record.title)
            error = "Expected enough memory for this computation, got too little: close other programs or choose less."
        except BaseException:
            _log.exception("Job %s (%s) failed", record.key, record.title)
            error = "The computation failed by a mistake of the program: its log says where; other computations go on."
        with self._changed:
            self._finish(record, status, error=error, result=result)


def _end(service: "weakref.ref[JobService]") -> None:
    """At the program's end: a thread that comes back from C++ into an interpreter that is gone aborts with a core dump."""
    if (ending := service()) is not None and not ending.close():
        _log.warning("The program ends in the middle of a computation, whose result is lost.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _order(record: _Record) -> tuple[int, int]:
    return -record.priority, record.number
