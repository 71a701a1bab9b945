"""Experiments: each writes its data, its plot and its verdict under docs/results/."""
