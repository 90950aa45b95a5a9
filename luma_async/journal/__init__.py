"""Journal: a durable record of every submitted job and of its outcome."""

from luma_async.journal.journal import End, Entry, EntryState, Hint, Journal
from luma_async.journal.served_jobs import ServedJobs
from luma_async.journal.sql_journal import SQLJournal

__all__ = ["End", "Entry", "EntryState", "Hint", "Journal", "SQLJournal", "ServedJobs"]
