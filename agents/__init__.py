"""Programs for training and evaluation, and their configuration by gin; they run from a clone of the repository."""
