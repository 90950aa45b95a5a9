"""What the client costs, measured against a simulated gateway in a process of its own.

Run them with `python -m benchmarks`, or one of them with `python -m benchmarks memory`.
"""
