"""The job service: one computation for many viewers, in order, cancelled when nobody waits, and never the page's problem."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from stiffcore import jobs
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.jobs import JobService

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0  # seconds; on a busy machine, before a test gives up


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


class Work:
    """A computation whose stages the test releases one by one."""

    def __init__(self, stages: int = 2, fails: BaseException | None = None):
        self.stages, self.fails = stages, fails
        self.calls, self.threads = 0, []
        self.entered, self.go_on, self.stopped = threading.Event(), threading.Semaphore(0), threading.Event()

    def __call__(self, progress):
        self.calls += 1
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        try:
            for stage in range(self.stages):
                progress(stage, self.stages, f"block {stage + 1}")
                assert self.go_on.acquire(timeout=PATIENCE)
            progress(self.stages, self.stages, "finished")
        finally:
            self.stopped.set()
        if self.fails:
            raise self.fails
        return f"result {self.calls}"

    def release(self, stages: int = 100) -> None:
        self.go_on.release(stages)


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock):
    made = JobService(capacity=3, clock=clock)
    yield made
    made.close()


def submit(service: JobService, key: str, work, watcher: str = "window 1", **settings) -> jobs.Job:
    return service.submit(key, work, title=f"Block {key}", watcher=watcher, **settings)


def finished(service: JobService, key: str) -> jobs.Job:
    until(lambda: not service.find(key).active)
    return service.find(key)


def occupied(service: JobService) -> Work:
    """The worker is busy with this, so that what follows waits."""
    work = Work(1)
    submit(service, "busy", work, "another window")
    assert work.entered.wait(PATIENCE)
    return work


def test_a_job_runs_and_reports_its_progress(service, clock):
    work = Work(2)
    assert submit(service, "8", work).status in ("queued", "running")
    until(lambda: service.find("8").what == "block 1")
    clock.now += 2.5
    job = service.find("8")
    assert (job.key, job.title, job.status, job.position) == ("8", "Block 8", "running", 0)
    assert (job.done, job.total, job.seconds, job.watchers) == (0, 2, 2.5, 1)
    assert (job.result, job.error, job.active) == (None, None, True)
    work.release(1)
    until(lambda: service.find("8").done == 1)
    assert service.find("8").what == "block 2"
    work.release()
    job = finished(service, "8")
    assert (job.status, job.done, job.result, job.error, job.seconds) == ("done", 2, "result 1", None, 2.5)
    clock.now += 60
    assert service.find("8").seconds == 2.5  # time stands still for what has finished


def test_snapshots_do_not_change(service):
    before = submit(service, "8", work := Work(1))
    work.release()
    finished(service, "8")
    assert before.status != "done"
    with pytest.raises(FrozenInstanceError):
        before.status = "done"


def test_an_unknown_key_is_none(service):
    assert service.find("x") is None
    assert service.watch("x", "window 1") is None
    assert service.cancel("x") is None
    assert service.active() == ()


def test_many_viewers_one_computation(service):
    work, others = Work(1), [Work(1) for _ in range(20)]
    submit(service, "8", work)
    threads = [
        threading.Thread(target=submit, args=(service, "8", other, f"other {number}"))
        for number, other in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.find("8").watchers == 21
    work.release()
    assert finished(service, "8").result == "result 1"
    assert work.calls == 1
    assert [other.calls for other in others] == [0] * 20


def test_a_waiting_job_is_joined_too(service):
    busy, work, other = occupied(service), Work(1), Work(1)
    submit(service, "8", work)
    assert submit(service, "8", other, "window 2").watchers == 2
    for each in (busy, work, other):
        each.release()
    finished(service, "8")
    assert (work.calls, other.calls) == (1, 0)


def test_one_worker_takes_jobs_in_the_order_of_priority_then_arrival(service):
    busy, started, works = occupied(service), [], {key: Work(0) for key in "abc"}

    def noting(key):
        return lambda progress: (started.append(key), works[key](progress))

    for key, priority in (("a", 0), ("b", 0), ("c", 5)):
        submit(service, key, noting(key), priority=priority)
    assert {key: service.find(key).position for key in "abc"} == {"a": 2, "b": 3, "c": 1}
    assert [job.key for job in service.active()] == ["busy", "c", "a", "b"]
    submit(service, "b", noting("b"), "window 2", priority=9)  # somebody in a hurry joins
    assert [job.key for job in service.active()] == ["busy", "b", "c", "a"]
    busy.release()
    for key in "abc":
        finished(service, key)
    assert started == ["b", "c", "a"]
    assert {name for work in works.values() for name in work.threads} == {"jobs"}


def test_queues_do_not_wait_for_each_other(service):
    busy = occupied(service)
    waiting, there, behind = Work(0), Work(1), Work(0)
    submit(service, "waits", waiting)
    service.submit("there", there, title="On a card", watcher="w", queue="cuda:0")
    service.submit("behind", behind, title="On a card", watcher="w", queue="cuda:0")
    assert there.entered.wait(PATIENCE)
    assert (service.find("waits").position, service.find("behind").position) == (1, 1)
    assert (service.load(""), service.load("cuda:0"), service.load("cuda:1")) == (2, 2, 0)
    service.submit("busy", Work(0), title="Joins", watcher="another", queue="cuda:0")
    assert service.load("") == 2
    there.release()
    assert finished(service, "behind").status == "done"
    assert service.find("busy").status == "running"
    assert there.threads == ["jobs cuda:0"]
    busy.release()
    assert finished(service, "waits").status == "done"


def test_a_full_queue_refuses_with_a_sentence(service):
    busy = occupied(service)
    for key in "abc":
        submit(service, key, Work(0))
    with pytest.raises(CannotCompute, match=r"^Queue full \(3 waiting\): try again in a minute\.$"):
        submit(service, "d", Work(0))
    assert service.find("d") is None
    assert submit(service, "a", Work(0), "window 2").watchers == 2  # joining needs no room
    service.cancel("b")
    assert submit(service, "d", Work(0)).position == 3
    busy.release()
    assert finished(service, "d").status == "done"


def test_cancel_frees_the_worker_at_the_next_stage(service):
    work, following = Work(3), Work(0)
    submit(service, "8", work)
    submit(service, "7", following)
    assert work.entered.wait(PATIENCE)
    assert service.cancel("8").status == "cancelled"  # said at once
    assert not following.entered.is_set()  # the worker is still in its stage
    began = time.monotonic()
    work.release(1)
    assert following.entered.wait(PATIENCE)
    assert time.monotonic() - began < 2
    assert work.stopped.is_set()
    job = service.find("8")
    assert (job.status, job.result, job.error) == ("cancelled", None, None)


def test_a_cancelled_job_is_not_started_again_unless_submitted_again(service):
    busy, work = occupied(service), Work(0)
    submit(service, "8", work)
    service.cancel("8")
    busy.release()
    finished(service, "busy")
    for _ in range(5):  # a page that is drawn again and again
        assert service.watch("8", "window 1").status == "cancelled"
        assert service.find("8").status == "cancelled"
    assert work.calls == 0
    submit(service, "8", work)
    assert finished(service, "8").status == "done"
    assert work.calls == 1


def test_submitted_again_while_the_cancelled_one_still_runs(service):
    first, second = Work(1), Work(1)
    submit(service, "8", first)
    assert first.entered.wait(PATIENCE)
    service.cancel("8")
    assert submit(service, "8", second).status == "queued"
    first.release()
    second.release()
    job = finished(service, "8")
    assert (job.status, job.result) == ("done", "result 1")
    assert (first.calls, second.calls) == (1, 1)


def test_a_computation_that_brings_a_result_after_its_cancel_stays_cancelled(service):
    entered, go_on = threading.Event(), threading.Event()

    def deaf(progress):
        entered.set()
        assert go_on.wait(PATIENCE)
        return "too late"

    submit(service, "8", deaf)
    assert entered.wait(PATIENCE)
    service.cancel("8")
    go_on.set()
    submit(service, "7", Work(0))
    finished(service, "7")
    assert (service.find("8").status, service.find("8").result) == ("cancelled", None)


def test_watchers_that_vanish_are_noticed(service, clock):
    work = Work(3)
    submit(service, "8", work, "closed tab")
    submit(service, "8", work, "open tab")
    assert work.entered.wait(PATIENCE)
    for _ in range(4):
        clock.now += 0.6 * jobs.LEASE
        assert service.watch("8", "open tab").active
    assert service.find("8").watchers == 1
    clock.now += 1.1 * jobs.LEASE  # now that one is closed as well, and nobody asks any more
    work.release(1)
    assert work.stopped.wait(PATIENCE)  # the computation noticed by itself
    assert service.find("8").status == "cancelled"


def test_a_waiting_job_that_nobody_watches_is_never_started(service, clock):
    busy, work = occupied(service), Work(0)
    submit(service, "8", work)
    clock.now += 0.6 * jobs.LEASE
    service.watch("busy", "another window")
    clock.now += 0.6 * jobs.LEASE
    busy.release()
    assert finished(service, "busy").status == "done"
    assert service.find("8").status == "cancelled"
    assert work.calls == 0


def test_a_reload_finds_the_job_and_keeps_it(service, clock):
    work = Work(1)
    submit(service, "8", work, "before the reload")
    assert service.find("8").active
    clock.now += 0.6 * jobs.LEASE
    service.watch("8", "after the reload")
    clock.now += 0.6 * jobs.LEASE
    assert service.find("8").watchers == 1
    work.release()
    assert finished(service, "8").result == "result 1"
    assert service.watch("8", "a third window").result == "result 1"


@pytest.mark.parametrize("status", ["done", "failed"])
def test_a_finished_job_is_computed_again_when_submitted_again(service, status):
    work = Work(0, fails=None if status == "done" else CannotCompute("Expected more, got less: add some."))
    submit(service, "8", work)
    assert finished(service, "8").status == status
    assert submit(service, "8", work).active
    finished(service, "8")
    assert work.calls == 2


def test_what_a_user_can_repair_is_said_as_it_is(service):
    sentence = "Expected 3 GB of memory, got a need of 17 GB: choose a smaller block."
    submit(service, "8", Work(0, fails=CannotCompute(sentence)))
    job = finished(service, "8")
    assert (job.status, job.error, job.result) == ("failed", sentence, None)


@pytest.mark.parametrize("fails", [ValueError("secret of line 17"), SystemExit(3), KeyboardInterrupt("secret")])
def test_a_mistake_of_the_program_is_logged_and_named_in_one_sentence(service, caplog, fails):
    submit(service, "8", Work(0, fails=fails))
    job = finished(service, "8")
    assert job.status == "failed"
    assert job.error.startswith("The computation failed because of an error in the program")
    assert "secret" not in job.error
    (record,) = caplog.records
    assert record.exc_info[1] is fails
    submit(service, "7", Work(0))
    assert finished(service, "7").status == "done"  # the worker lives


def test_out_of_memory_is_said_as_such(service):
    submit(service, "8", Work(0, fails=MemoryError()))
    assert finished(service, "8").error.startswith("Out of memory")


def test_work_that_raises_cancelled_by_itself_is_cancelled(service):
    submit(service, "8", Work(0, fails=Cancelled()))
    assert finished(service, "8").status == "cancelled"


def test_finished_jobs_are_kept_for_a_while_and_not_too_many(clock, monkeypatch):
    monkeypatch.setattr(jobs, "KEPT", 3)
    monkeypatch.setattr(jobs, "KEPT_FOR", 100.0)
    service = JobService(clock=clock)
    for number in range(5):
        submit(service, str(number), Work(0))
        finished(service, str(number))
        clock.now += 1
    assert [service.find(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    clock.now += 97.5  # number 2 finished 100.5 seconds ago
    assert [service.find(str(number)) is not None for number in range(5)] == [False, False, False, True, True]
    service.close()


def test_a_worker_prepares_itself_once_before_its_first_job():
    did = []
    service = JobService(prepare=lambda queue: did.append(threading.current_thread().name))
    assert did == []
    for key in "12":
        submit(service, key, lambda progress: did.append("work"))
        finished(service, key)
    assert did == ["jobs", "work", "work"]
    service.close()


def test_close_cancels_and_ends_the_threads():
    service = JobService()
    work, waiting = Work(2), Work(0)
    submit(service, "8", work)
    submit(service, "7", waiting)
    assert work.entered.wait(PATIENCE)
    threading.Timer(0.1, work.release).start()  # its stage comes to an end after the closing
    assert service.close(PATIENCE)
    assert not any(thread.is_alive() for thread in service._threads.values())
    assert service.find("7").status == "cancelled"
    assert waiting.calls == 0
    with pytest.raises(CannotCompute, match="closed"):
        submit(service, "9", Work(0))


@pytest.mark.parametrize(
    ("stage", "code", "said"),
    [("torch.linalg.eigvals(matrix)", 0, ""), ("time.sleep(600)", 1, "during a computation")],
    ids=["comes to its next stage", "does not come to its next stage"],
)
def test_a_program_ends_without_a_crash_although_a_job_runs(stage, code, said):
    """Without the service's care, Python 3.11 aborts: "terminate called without an active exception"."""
    program = f"""
import time
{"import torch" if code == 0 else ""}
from stiffcore.jobs import JobService

def work(progress):
    {"matrix = torch.randn(300, 300, dtype=torch.float64)" if code == 0 else ""}
    while True:
        progress(0, 1, "block 8")
        {stage}

JobService().submit("8", work, title="Block 8", watcher="window 1")
time.sleep(0.3)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, timeout=60, capture_output=True, text=True)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "terminate" not in done.stderr


def test_other_threads_go_on_while_eigenvalues_are_computed(service):
    """torch frees Python's lock in the eigensolver: a web server in the same process keeps answering."""
    import torch

    matrix = torch.randn(900, 900, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    submit(service, "8", lambda progress: torch.linalg.eigvals(matrix))
    turns = 0
    while service.find("8").active:
        time.sleep(0.005)
        turns += 1
    assert service.find("8").result.shape == (900,)
    assert turns >= 10  # none or one, if the solver held the lock


def test_nothing_slow_is_imported():
    code = "import sys, stiffcore.jobs; print(*{'torch', 'numpy', 'pandas', 'streamlit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "\n"
