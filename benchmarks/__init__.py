"""Benchmarks of the client, against a simulated gateway in a process of its own.

`python -m benchmarks` runs all of them, `python -m benchmarks cost scale` only these two.
"""
