"""Optional packages: one line that says what to install where one is missing."""

import importlib
from types import ModuleType

EXTRAS = {
    **dict.fromkeys(("brax", "distrax", "gymnasium", "haiku", "optax", "rich", "tensorboardX"), "train"),
    **dict.fromkeys(("imageio", "mujoco"), "mujoco"),
    **dict.fromkeys(("dm_control", "shimmy"), "dm_control"),
    "matplotlib": "plot",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""The extra of this package that installs each module."""


def load(name: str) -> ModuleType:
    """Imports a module of an extra.

    Args:
        name: of the module.

    Raises:
        ModuleNotFoundError: it is missing; the message has the command that installs it.

    Example:
        >>> load("optax.losses").__name__
        'optax.losses'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing(error) from error


def missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error with the command that installs what is missing; the same error where no extra has it.

    Args:
        error: of an import.

    Example:
        >>> print(missing(ModuleNotFoundError("No module named 'wandb.sdk'", name="wandb.sdk")))
        the package wandb is missing: pip install 'sobolev[wandb]'
    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return error
    text = f"the package {package} is missing: pip install 'sobolev[{EXTRAS[package]}]'"
    return ModuleNotFoundError(text, name=error.name, path=error.path)
