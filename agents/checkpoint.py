"""Checkpoints: a whole pytree per directory, named by its environment steps, by orbax.

Orbax writes aside and renames, so a directory with a plain number for a name is whole. Random keys are stored as their
data; everything else about the tree (its structure, its static parts) comes from the template that the reader has.
"""

import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from orbax.checkpoint import v1 as orbax

Tree = TypeVar("Tree")


def _leaves(tree: Any) -> dict[str, jax.Array]:
    """The tree's arrays under the paths that lead to them, random keys as their data."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): _data(leaf) for path, leaf in flat}


def _data(leaf: Any) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def save(directory: Path, env_steps: int, tree: Any, keep: int = 2) -> Path:
    """Writes ``tree`` to ``directory/env_steps`` and removes all but the newest ``keep`` checkpoints."""
    path = directory / str(env_steps)
    orbax.save_pytree(path.resolve(), _leaves(tree), overwrite=True)
    for old in _whole(directory)[:-keep]:
        shutil.rmtree(old)
    return path


def newest(directory: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    whole = _whole(directory)
    return whole[-1] if whole else None


def _whole(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted((path for path in directory.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def restore(path: Path, template: Tree) -> Tree:
    """The tree stored at ``path``, in the structure of ``template`` (arrays, or shapes from ``jax.eval_shape``).

    Raises:
        ValueError: the stored arrays are not those of the template, as after a change of the configuration.
    """
    flat, structure = jax.tree_util.tree_flatten_with_path(template)
    stored = orbax.load_pytree(path.resolve())
    leaves = []
    for key_path, leaf in flat:
        name = jax.tree_util.keystr(key_path)
        expected = jax.eval_shape(_data, leaf)
        if name not in stored or (stored[name].shape, stored[name].dtype) != (expected.shape, expected.dtype):
            found = f"{stored[name].dtype}{list(stored[name].shape)}" if name in stored else "nothing"
            raise ValueError(
                f"{path} holds {found} for {name}, the configuration wants {expected.dtype}{list(expected.shape)}: "
                "resume with the configuration that the run began with"
            )
        leaves.append(_rebuild(stored[name], leaf))
    return jax.tree_util.tree_unflatten(structure, leaves)


def _rebuild(stored: jax.Array, leaf: Any) -> jax.Array:
    # A fresh buffer on the default device: the loader's own may be shared or committed, and the state is donated.
    array = jnp.array(stored)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array
