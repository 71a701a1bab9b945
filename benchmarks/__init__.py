"""Benchmarks: each prints its measurements; they run from the root as ``python -m benchmarks.NAME``."""
