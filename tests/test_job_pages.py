"""Job pages: a list that changes while it is read is read once, and to its end."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from luma_async import Generation, State
from luma_async.dialects import Page
from luma_async.job_pages import JobPages

Server = Callable[[int, int], Page]
"""Server that returns the page at an offset, with at most so many jobs."""


def page(ids: Sequence[str], has_more: bool | None) -> Page:
    return Page(tuple(Generation(id=id, state=State.COMPLETED) for id in ids), has_more)


def served(jobs: Sequence[str], *, tells: bool = True, largest: int = 1000) -> Server:
    """Return a server with these jobs. `tells` means that it says if there are more."""

    def answer(offset: int, limit: int) -> Page:
        end = offset + min(limit, largest)
        return page(jobs[offset:end], end < len(jobs) if tells else None)

    return answer


def read(server: Server, size: int, change: Callable[[list[str]], None] | None = None) -> list[str]:
    """Return the ids of all jobs. `change` changes the server's list after each job."""
    pages, found = JobPages(size), list[str]()
    for _ in range(1000):
        if pages.is_done:
            return found
        for generation in pages.take(server(pages.offset, pages.size)):
            found.append(generation.id)
            if change is not None:
                change(found)
    raise AssertionError("it does not end")


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("largest", [1000, 3, 1])
@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 9, 10, 11, 30])
def test_all_jobs_come_in_order(number: int, size: int, largest: int, *, tells: bool) -> None:
    """A list of any length ends, even if the server does not say so, or has short pages."""
    jobs = [f"job-{n}" for n in range(number)]

    assert read(served(jobs, tells=tells, largest=largest), size) == jobs


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("new", [1, 2, 5])
def test_new_jobs_at_the_top_make_no_job_come_twice(new: int, *, tells: bool) -> None:
    """They move the others to later places, so that a page repeats jobs of the one before."""
    jobs = [f"job-{n}" for n in range(20)]
    before = list(jobs)

    def add(found: list[str]) -> None:
        if len(found) in (3, 9, 10):
            jobs[:0] = [f"new-{len(found)}-{n}" for n in range(new)]

    found = read(served(jobs, tells=tells), 5, add)

    assert len(found) == len(set(found))
    assert [id for id in found if id in before] == before


@pytest.mark.parametrize("size", [2, 5, 7, 100])
def test_jobs_that_are_deleted_as_they_come_hide_no_others(size: int) -> None:
    """`async for job in luma.generations(): await luma.delete(job)` reaches all jobs."""
    jobs = [f"job-{n}" for n in range(23)]
    before = list(jobs)

    found = read(served(jobs), size, lambda found: jobs.remove(found[-1]))

    assert found == before
    assert not jobs


def test_any_mixture_of_new_and_deleted_jobs() -> None:
    """Each job that is there all the time comes once, and no job comes twice."""
    for seed in range(150):
        draw = random.Random(seed)
        jobs = [f"job-{n}" for n in range(draw.randrange(40))]
        before, gone = list(jobs), set[str]()

        def change(
            _: list[str],
            *,
            draw: random.Random = draw,
            jobs: list[str] = jobs,
            gone: set[str] = gone,
        ) -> None:
            if draw.random() < 0.2:
                jobs.insert(0, f"new-{draw.random()}")
            if jobs and draw.random() < 0.4:
                gone.add(jobs.pop(draw.randrange(len(jobs))))

        found = read(served(jobs), draw.randrange(2, 12), change)

        assert len(found) == len(set(found)), seed
        assert {*before} - gone <= {*found}, seed


@pytest.mark.parametrize("has_more", [True, None])
def test_a_server_that_ignores_the_offset_ends_the_list(has_more: bool | None) -> None:
    """The same page again and again is not an endless list."""
    jobs = [f"job-{n}" for n in range(5)]

    assert read(lambda *_: page(jobs, has_more), 5) == jobs


def test_a_server_that_always_promises_more_ends_with_empty_pages() -> None:
    """An empty page has nothing behind it, even if the answer says so."""
    jobs = [f"job-{n}" for n in range(5)]

    assert read(lambda offset, limit: page(jobs[offset : offset + limit], True), 3) == jobs
