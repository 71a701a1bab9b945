"""Values and settings as names of folders."""

import ast
import hashlib
import re

LONGEST = 120
"""Letters of a setting's name."""


def name_of_value(text: str) -> str:
    """A value as part of a file name: numbers, plain words and ``@part()`` as they are, of others a digest behind.

    Two values have the same name where they are equal, on file systems that take no notice of capitals too.

    Example:
        >>> [name_of_value(text) for text in ("1e-3", "'action'", "@metrics.mmd()", "(8, 8)")]
        ['0.001', 'action', 'metrics.mmd', '8_8-66724c99']
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
        canonical = "".join(text.split())
        if found := re.fullmatch(r"@([a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+)\(\)", canonical):
            return found[1]
    else:
        canonical = repr(value)
        if isinstance(value, int | float | None):  # bool too
            return canonical.replace("+", "")
        if isinstance(value, str) and re.fullmatch(r"[a-z_][a-z0-9_]*", value) and value not in _OTHERS:
            return value
    readable = re.sub(r"[^A-Za-z0-9._]+", "_", canonical).strip("_.")[:40]
    return f"{readable}-{digest(canonical)}"


_OTHERS = ("true", "false", "none", "inf", "nan")


def digest(text: str) -> str:
    """Eight letters that tell texts apart."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def name_of_setting(values: dict[str, str], default: str) -> str:
    """The folder of a setting, from the values by name; the default where nothing is swept.

    Example:
        >>> name_of_setting({"agent.num_samples": "4", "agent.gradient": "'action'"}, "td3")
        'agent.gradient=action,agent.num_samples=4'
    """
    parts = [f"{name.replace('/', '-')}={name_of_value(value)}" for name, value in sorted(values.items())]
    name = ",".join(parts) or default
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9]}-{digest(name)}"
