"""Gymnasium's environments by name: MuJoCo's tasks, dm_control's through Shimmy, and whatever else is registered."""

import contextlib
import difflib
from collections.abc import Iterator
from typing import Any

from sobolev import extras
from sobolev.environments.base import registry
from sobolev.environments.host import HostEnv
from sobolev.registry import unknown_name


@registry.register("gymnasium")
def make_gymnasium(id: str = "HalfCheetah-v5", flatten: bool = False, kwargs: dict[str, Any] | None = None) -> HostEnv:  # noqa: A002
    """An environment that is registered with Gymnasium.

    Its steps are taken on the host. Actions of the agent, in [-1, 1], are mapped to the environment's bounds; its own
    time limit is kept beside ``train.episode_length``.

    Args:
        id: as registered: "HalfCheetah-v5", "dm_control/cheetah-run-v0" (needs the package shimmy), or
            "my_module:MyTask-v0", whose module is imported first.
        flatten: concatenate the entries of observations that are a dictionary or have several dimensions, as those of
            dm_control.
        kwargs: of the environment's constructor.

    Returns:
        The environment.

    Raises:
        ValueError: an unknown id, kwargs that the constructor does not take, a package that is missing, or an
            environment that does not fit, see :class:`HostEnv`.

    Example:
        >>> env = make_gymnasium("Pendulum-v1")
        >>> env.observation_size, env.action_size
        (3, 1)
    """
    import gymnasium

    if id.startswith("dm_control/"):
        _register_dm_control(id)

    def make() -> gymnasium.Env:
        try:
            with _quiet_compilation():
                env = gymnasium.make(id, disable_env_checker=True, **(kwargs or {}))
        except ModuleNotFoundError as error:  # of an extra, or a wrong module
            raise ValueError(f"{id}: {extras.missing(error)}") from error
        except TypeError as error:  # wrong kwargs
            raise ValueError(f"{id}: {error}") from error
        return gymnasium.wrappers.FlattenObservation(env) if flatten else env

    try:
        return HostEnv(make)
    except gymnasium.error.UnregisteredEnv as error:
        raise unknown_name("Gymnasium environment", id, _close(id, gymnasium.registry)) from error
    except gymnasium.error.DependencyNotInstalled as error:
        cause = error.__cause__
        told = extras.missing(cause) if isinstance(cause, ModuleNotFoundError) else error
        raise ValueError(f"{id}: {told}") from error
    except gymnasium.error.Error as error:
        raise ValueError(f"{id}: {error}") from error


@contextlib.contextmanager
def _quiet_compilation() -> Iterator[None]:
    """Without what MuJoCo says, at each model that it compiles, about old attributes in the task's file."""
    try:
        import mujoco
    except ModuleNotFoundError:  # where the task is one of MuJoCo, gymnasium says so
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _close(name: str, known: Any) -> list[str]:
    """The ten closest names: all of them are too many to list."""
    return difflib.get_close_matches(name, list(known), n=10, cutoff=0.0)


def _register_dm_control(name: str) -> None:
    import gymnasium

    try:
        import dm_control  # noqa: F401
        import shimmy
    except ModuleNotFoundError as error:
        raise ValueError(f"{name}: {extras.missing(error)}") from error
    gymnasium.register_envs(shimmy)
