"""Experiments: each answers one question, and writes its data, tables and pictures to docs/results.

README.md is the index. Each runs from the root of the repository as ``python -m experiments.NAME``; what they share is
in experiments/lib.
"""
