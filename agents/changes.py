"""What a resumed run would change of the configuration that its directory holds."""

import re
from pathlib import Path

from agents.gin_messages import ConfigError
from sobolev.training import checkpoint

FREE = (
    "train.total_steps",
    "train.eval_every",
    "train.eval_episodes",
    "train.checkpoint_every",
    "train.seeds_at_once",
    "train.memory_limit_gib",
    "train.cpu_compiler_options",
    "train.non_finite",
)
"""What may change: none of it has a part in what has been learned."""


def values(text: str) -> dict[str, str]:
    r"""The value of each name in a configuration as gin prints it, in one line.

    Example:
        >>> values("# Macros:\na = 1\nx.b = \\\n    (1,\n     2)\n")
        {'a': '1', 'x.b': '(1, 2)'}
    """
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if begins := re.match(r"([\w./]+) = ?(.*)", line):
            name, line = begins.groups()
            found[name] = ""
        if name and not line.startswith(("#", "import ")):
            found[name] = " ".join([*found[name].split(), *line.rstrip("\\").split()])
    return found


def of_run(run_dir: Path, text: str, allowed: bool) -> dict[str, str]:
    """The files that record a resumed run's configuration.

    Args:
        run_dir: of the run.
        text: its configuration as gin prints it now.
        allowed: whether anything may change.

    Returns:
        The texts of config.gin and, where it changes, of one that keeps the former configuration under the number of
        environment steps up to which it held.

    Raises:
        ConfigError: something changes that is not in :data:`FREE`.
    """
    path = run_dir / "config.gin"
    folders = {file.parent for file in (run_dir / "checkpoints").rglob("*.npz")}
    steps = [int(newest.stem) for newest in map(checkpoint.newest, folders) if newest is not None]
    if not steps:
        return {"config.gin": text}
    if not path.is_file():
        if not allowed:
            raise ConfigError(f"{path} is gone: nothing tells what the configuration was (--allow_changes)")
        return {"config.gin": text}
    before, after = values(path.read_text(errors="replace")), values(text)
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    refused = [name for name in changed if name not in FREE]
    if refused and not allowed:
        shown = "; ".join(
            f"{name} was {before.get(name, 'not there')}, is {after.get(name, 'not there')}" for name in refused[:5]
        )
        more = f" and {len(refused) - 5} others" if len(refused) > 5 else ""
        raise ConfigError(
            f"{run_dir} was trained with another configuration: {shown}{more}. Resume with that of {path}, or give "
            "--allow_changes"
        )
    former = f"config_until_{max(steps)}.gin"
    if not changed or (run_dir / former).exists():  # the one that is there is that of the steps before
        return {"config.gin": text}
    return {former: path.read_text(errors="replace"), "config.gin": text}
