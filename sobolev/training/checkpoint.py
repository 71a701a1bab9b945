"""Checkpoints: a whole pytree in one file, named by its environment steps.

A file is written aside and renamed, so one with a plain number for a name is whole. Random keys are stored as their
data; everything else about the tree (its structure, its static parts) comes from the template that the reader has.
One numpy archive holds some hundred small arrays in milliseconds.
"""

import os
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> jax.Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else jnp.asarray(leaf)


def _implementation(leaf: Any) -> Any:
    """The kind of a random key, array or shape; ``key_impl`` itself refuses shapes, so it is asked within a trace."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def save(directory: Path, env_steps: int, tree: Any, keep: int = 2) -> Path:
    """Writes ``tree`` to ``directory/<env_steps>.npz`` and removes all but the newest ``keep`` checkpoints."""
    directory.mkdir(parents=True, exist_ok=True)
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    arrays = {jax.tree_util.keystr(path): np.asarray(_data(leaf)) for path, leaf in flat}
    path = directory / f"{env_steps}.npz"
    aside = directory / f"{env_steps}.partial"
    with open(aside, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    for old in _whole(directory)[:-keep]:
        old.unlink()
    return path


def newest(directory: Path) -> Path | None:
    """The newest whole checkpoint, or None."""
    whole = _whole(directory)
    return whole[-1] if whole else None


def _whole(directory: Path) -> list[Path]:
    """The whole checkpoints, oldest first."""
    return sorted((path for path in directory.glob("*.npz") if path.stem.isdigit()), key=lambda path: int(path.stem))


def restore(path: Path, template: Tree) -> Tree:
    """The tree stored at ``path``, in the structure of ``template`` (arrays, or shapes from ``jax.eval_shape``).

    Raises:
        ValueError: the stored arrays are not those of the template, as after a change of the configuration.
    """
    flat, structure = jax.tree_util.tree_flatten_with_path(template)
    with np.load(path) as stored:
        leaves = [_rebuild(stored, jax.tree_util.keystr(key_path), leaf, path) for key_path, leaf in flat]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _rebuild(stored: Any, name: str, leaf: Any, path: Path) -> jax.Array:
    expected = jax.eval_shape(_data, leaf)
    found = stored.get(name)
    if found is not None and found.dtype.kind == "V":  # numpy's archive forgets the names of bfloat16 and its like
        found = found.view(expected.dtype) if found.dtype.itemsize == expected.dtype.itemsize else found
    if found is None or (found.shape, found.dtype) != (expected.shape, expected.dtype):
        text = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
        raise ValueError(
            f"{path} holds {text} for {name}, the configuration wants {expected.dtype}{list(expected.shape)}: "
            "resume with the configuration that the run began with"
        )
    array = jnp.array(found)
    return jax.random.wrap_key_data(array, impl=_implementation(leaf)) if _is_key(leaf) else array
