"""Long computations for many viewers: a bounded queue and one worker for each device, progress, cancelling. Independent of Streamlit.

A job's key names what it computes: submitting the same key while the job waits or runs joins that job. A viewer renews its
watch by ``watch``; a job that no viewer has renewed for LEASE seconds (closed tabs) is cancelled. Cancelling takes effect
between two stages: the computation's next call of ``progress`` raises Cancelled.

A worker is a thread: torch, numpy and numba (with ``nogil=True``) release the GIL while they compute.
"""

import atexit
import itertools
import logging
import math
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

CAPACITY = 16  # waiting jobs in a queue; one more runs
LEASE = 120.0  # seconds; browsers run the timers of a hidden tab once a minute
KEPT = 32  # finished jobs kept for a reload or a second window ...
KEPT_FOR = 900.0  # ... for this many seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A snapshot of a job."""

    key: str
    title: str
    status: str  # queued, running, done, failed or cancelled
    position: int  # in the queue, from 1; 0 once it has started
    done: int  # finished stages
    total: int  # stages; 0 if unknown
    what: str  # current stage
    seconds: float  # from its start to its end, or to now
    error: str | None  # a sentence for the user, if it failed
    result: object | None  # what the work returned, if it is done
    watchers: int

    @property
    def active(self) -> bool:
        return self.status in ("queued", "running")


@dataclass(eq=False)
class _Record:
    """A job's state, guarded by the service's lock."""

    key: str
    title: str
    work: Callable[[Progress], object] | None
    priority: int
    number: int
    queue: str
    watchers: dict[str, float] = field(default_factory=dict)  # watcher -> time of its last renewal
    status: str = "queued"
    done: int = 0
    total: int = 0
    what: str = ""
    started: float | None = None
    finished: float = math.inf
    error: str | None = None
    result: object | None = None


class JobService:
    """Runs the jobs of a queue one by one in a thread of their own, and queues beside each other. Every method is thread-safe, and all but
    ``close`` return at once.

    capacity: maximum number of waiting jobs in a queue. clock: seconds, monotonic. prepare: called with the queue's name once in each
    worker's thread, before its first job; must not raise.
    """

    def __init__(
        self,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[str], None] = lambda queue: None,
    ):
        self.capacity, self._clock, self._prepare = capacity, clock, prepare
        self._changed = threading.Condition()
        self._active: dict[str, _Record] = {}  # queued and running
        self._finished: OrderedDict[str, _Record] = OrderedDict()  # oldest first
        self._numbers = itertools.count()
        self._threads: dict[str, threading.Thread] = {}  # queue -> its worker, started by its first job
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
        queue: str = "",
    ) -> Job:
        """Queue ``work(progress)``, or join the job that waits or runs under this key, in any queue. Call it only from a button's callback.

        priority: larger runs sooner, equal ones in order of submission. queue: its name; queues do not wait for each other. Raises
        CannotCompute if the queue is full.
        """
        with self._changed:
            self._expire()
            record = self._active.get(key)
            if record is None:
                record = self._queue(_Record(key, title, work, priority, next(self._numbers), queue))
            record.priority = max(record.priority, priority)
            record.watchers[watcher] = self._clock()
            return self._snapshot(record)

    def find(self, key: str) -> Job | None:
        """The waiting, running or recently finished job of this key. Does not count as watching."""
        with self._changed:
            self._expire()
            self._forget()
            record = self._active.get(key) or self._finished.get(key)
            return None if record is None else self._snapshot(record)

    def watch(self, key: str, watcher: str) -> Job | None:
        """Like ``find``, and renews this viewer's watch. Call it at every refresh, at least twice per LEASE."""
        with self._changed:
            if key in self._active:
                self._active[key].watchers[watcher] = self._clock()
            return self.find(key)

    def cancel(self, key: str) -> Job | None:
        """Cancels for everyone waiting. The worker becomes free at the computation's next call of progress."""
        with self._changed:
            record = self._active.get(key)
            if record is not None:
                self._finish(record, "cancelled")
            return self.find(key)

    def active(self) -> tuple[Job, ...]:
        """The running jobs, then the waiting ones in order."""
        with self._changed:
            self._expire()
            records = sorted(self._active.values(), key=lambda record: (record.status == "queued", *_order(record)))
            return tuple(self._snapshot(record) for record in records)

    def load(self, queue: str) -> int:
        """How many jobs of a queue wait or run."""
        with self._changed:
            return sum(record.queue == queue for record in self._active.values())

    def close(self, timeout: float = 2.0) -> bool:
        """Cancel all jobs and wait for the workers, up to ``timeout`` seconds. Returns whether they have ended."""
        until = time.monotonic() + timeout
        with self._changed:
            self._closed = True
            for record in list(self._active.values()):
                self._finish(record, "cancelled")
            self._changed.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    # The methods below are called with the lock held, except _next, _work and _run, which take it where they need it.

    def _queue(self, record: _Record) -> _Record:
        waiting = len(self._waiting(record.queue))
        if self._closed:
            raise CannotCompute("The job service is closed: start the program again.")
        if waiting >= self.capacity:
            raise CannotCompute(f"Queue full ({waiting} waiting): try again in a minute.")
        self._finished.pop(record.key, None)
        self._active[record.key] = record
        if record.queue not in self._threads:
            name = f"jobs {record.queue}".rstrip()
            self._threads[record.queue] = threading.Thread(
                target=self._work, args=(record.queue,), name=name, daemon=True
            )
            self._threads[record.queue].start()
        self._changed.notify_all()
        return record

    def _snapshot(self, record: _Record) -> Job:
        position, seconds = 0, 0.0
        if record.status == "queued":
            position = 1 + sum(_order(other) < _order(record) for other in self._waiting(record.queue))
        if record.started is not None:
            seconds = min(self._clock(), record.finished) - record.started
        return Job(
            record.key, record.title, record.status, position, record.done, record.total, record.what, seconds,
            record.error, record.result, len(record.watchers),
        )  # fmt: skip

    def _waiting(self, queue: str) -> list[_Record]:
        return [record for record in self._active.values() if record.status == "queued" and record.queue == queue]

    def _finish(self, record: _Record, status: str, *, error: str | None = None, result: object | None = None) -> None:
        """Move a job to the finished ones. A cancelled job stays cancelled, whatever its worker returns."""
        if self._active.get(record.key) is not record:
            return
        del self._active[record.key]
        record.status, record.error, record.result = status, error, result
        record.finished, record.work = self._clock(), None
        self._finished[record.key] = record
        self._forget()
        self._changed.notify_all()

    def _forget(self) -> None:
        """Drop finished jobs that are too old or too many."""
        while self._finished:
            oldest = next(iter(self._finished.values()))
            if len(self._finished) <= KEPT and self._clock() - oldest.finished <= KEPT_FOR:
                break
            del self._finished[oldest.key]

    def _expire(self) -> None:
        """Cancel the jobs that nobody has watched for LEASE seconds."""
        now = self._clock()
        for record in list(self._active.values()):
            gone = [watcher for watcher, heard in record.watchers.items() if now - heard > LEASE]
            for watcher in gone:
                del record.watchers[watcher]
            if gone and not record.watchers:
                self._finish(record, "cancelled")

    def _next(self, queue: str) -> _Record | None:
        """Wait for a job of a queue; None once the service is closed."""
        with self._changed:
            while not self._closed:
                self._expire()
                if waiting := self._waiting(queue):
                    record = min(waiting, key=_order)
                    record.status, record.started = "running", self._clock()
                    return record
                self._changed.wait()
            return None

    def _work(self, queue: str) -> None:
        self._prepare(queue)
        while (record := self._next(queue)) is not None:
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
            error = "Out of memory: close other programs, or choose a smaller computation."
        except BaseException:
            _log.exception("Job %s (%s) failed", record.key, record.title)
            error = "The computation failed because of an error in the program; the log has the details. Other computations continue."
        with self._changed:
            self._finish(record, status, error=error, result=result)


def _end(service: "weakref.ref[JobService]") -> None:
    """At exit: a thread that returns from C++ after the interpreter has ended aborts with a core dump."""
    if (ending := service()) is not None and not ending.close():
        _log.warning("The program ends during a computation, whose result is lost.")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _order(record: _Record) -> tuple[int, int]:
    return -record.priority, record.number
