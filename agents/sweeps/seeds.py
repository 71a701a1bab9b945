"""Lists of seeds as text."""

import re
from collections.abc import Sequence

from agents.gin_messages import ConfigError
from agents.runs import consecutive

MOST_SEEDS = 10_000
OF_SEEDS = ("train.seed", "train.num_seeds", "train.seeds_at_once")
"""What a sweep binds in each task."""


def parse_seeds(text: str) -> list[int]:
    """The seeds of ``0-9`` or ``0,3,5-7``, in ascending order.

    Raises:
        ConfigError: it is not of this form, a seed comes twice, or there are too many.

    Example:
        >>> parse_seeds("5-7,0,3")
        [0, 3, 5, 6, 7]
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        if not found:
            raise ConfigError(f"--seeds={text}: write it as --seeds=0-9, or --seeds=0,3,5-7")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ConfigError(f"--seeds={text}: {last} is below {first}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ConfigError(f"--seeds={text}: more than {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ConfigError(f"--seeds={text}: {twice} is there twice")
    return sorted(seeds)


def text_of_seeds(seeds: Sequence[int]) -> str:
    """Ascending seeds as :func:`parse_seeds` reads them.

    Example:
        >>> text_of_seeds([0, 3, 5, 6, 7])
        '0,3,5-7'
    """
    return ",".join(str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in consecutive(seeds))
