"""A function repeated operation by operation, to find the one whose result is the first that is not finite.

A number that is not finite is followed from where it arises to where it ends up: one that a ``where`` leaves out, as at
a root of zero, does not count.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

_PACKAGE = Path(__file__).resolve().parent.parent
_JAX = Path(jax.__file__).resolve().parent


class Operation(NamedTuple):
    """An operation with finite operands and a result that is not finite, or an argument that is not.

    Fields:
        name: of the operation, or "argument".
        place: where it is, "file:line (function, derivatives and modules)", or the argument's number.
        operands: of each its type, shape, and least and greatest number.
        result: the same.
    """

    name: str
    place: str
    operands: tuple[str, ...]
    result: str


class Traced(NamedTuple):
    """A value, and the operation from which it has what is not finite; None where all of it is finite."""

    value: Any
    origin: Operation | None = None


def origins(function: Callable[..., Any], *args: Any) -> Any:
    """Evaluates a function operation by operation.

    Args:
        function: of arrays, as ``jax.make_jaxpr`` takes it.
        *args: its arguments.

    Returns:
        The function's result, each leaf a :class:`Traced`.

    Example:
        >>> import jax.numpy as jnp
        >>> found = origins(lambda x: jnp.sqrt(x) + 1.0, jnp.float32(-4.0))
        >>> found.origin.name, found.origin.operands
        ('sqrt', ('float32[] in [-4, -4]',))
    """
    # What is inlined from another program loses its lines.
    closed, shape = jax.make_jaxpr(inspect.unwrap(function), return_shape=True)(*args)
    inputs = [
        Traced(leaf, None if is_finite(leaf) else Operation("argument", str(number), (), summary(leaf)))
        for number, leaf in enumerate(jax.tree.leaves(args))
    ]
    return jax.tree.unflatten(jax.tree.structure(shape), _closed(closed, inputs))


def _closed(closed: ClosedJaxpr, inputs: Sequence[Traced]) -> list[Traced]:
    return _run(closed.jaxpr, [Traced(const) for const in closed.consts], inputs)


def _run(jaxpr: Jaxpr, consts: Sequence[Traced], inputs: Sequence[Traced]) -> list[Traced]:
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))

    def read(atom: Any) -> Traced:
        return Traced(atom.val) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        results = _apply(equation, [read(atom) for atom in equation.invars])
        known |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: JaxprEqn, inputs: list[Traced]) -> list[Traced]:
    """The results of one operation; those that hold others are gone into."""
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _scan(params, inputs)
    if name == "while":
        return _while(params, inputs)
    if name == "cond":
        index = int(np.clip(int(inputs[0].value), 0, len(params["branches"]) - 1))
        return _closed(params["branches"][index], inputs[1:])
    if name == "platform_index":
        matches = (i for i, names in enumerate(params["platforms"]) if names and jax.default_backend() in names)
        return [Traced(jnp.int32(next(matches, len(params["platforms"]) - 1)))]
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr", "call"):
        inner = params.get(key)
        if isinstance(inner, ClosedJaxpr):
            return _closed(inner, inputs)
        if isinstance(inner, Jaxpr):
            return _run(inner, [], inputs)
    return _operate(equation, inputs)


def _operate(equation: JaxprEqn, inputs: list[Traced]) -> list[Traced]:
    results = equation.primitive.bind(*(x.value for x in inputs), **equation.params)
    results = results if equation.primitive.multiple_results else [results]
    not_finite = [x for x in inputs if not is_finite(x.value)]
    traced = []
    for result in results:
        found = None
        if not is_finite(result):
            operands = tuple(summary(x.value) for x in inputs)
            found = Operation(equation.primitive.name, _place(equation), operands, summary(result))
            if not_finite:  # without an origin where it is a constant, which is meant
                found = next((x.origin for x in not_finite if x.origin is not None), None)
        traced.append(Traced(result, found))
    return traced


def _scan(params: dict[str, Any], inputs: list[Traced]) -> list[Traced]:
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    consts, carry, xs = (
        inputs[:num_consts],
        inputs[num_consts : num_consts + num_carry],
        inputs[num_consts + num_carry :],
    )
    order = range(params["length"])
    rows: list[list[Traced]] = []
    for i in reversed(order) if params["reverse"] else order:
        results = _closed(params["jaxpr"], [*consts, *carry, *(Traced(x.value[i], x.origin) for x in xs)])
        carry, row = results[:num_carry], results[num_carry:]
        rows.append(row)
    if params["reverse"]:
        rows.reverse()
    stacked = [
        Traced(jnp.stack([y.value for y in column]), next((y.origin for y in column if y.origin), None))
        for column in zip(*rows, strict=True)
    ]
    return [*carry, *stacked]


def _while(params: dict[str, Any], inputs: list[Traced]) -> list[Traced]:
    of_condition, of_body = params["cond_nconsts"], params["body_nconsts"]
    condition, body = inputs[:of_condition], inputs[of_condition : of_condition + of_body]
    carry = inputs[of_condition + of_body :]
    while bool(_closed(params["cond_jaxpr"], [*condition, *carry])[0].value):
        carry = _closed(params["body_jaxpr"], [*body, *carry])
    return carry


def is_finite(x: Any) -> bool:
    """Whether an array has no floating-point number that is not finite."""
    dtype = _dtype(x)
    return not jnp.issubdtype(dtype, jnp.floating) or bool(jnp.all(jnp.isfinite(x)))


def _dtype(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.result_type(x)


def summary(x: Any) -> str:
    """Type, shape, and what numbers there are.

    Example:
        >>> import numpy as np
        >>> summary(np.array([1.0, 2.5])), summary(np.array([1.0, np.nan, np.inf]))
        ('float64[2] in [1, 2.5]', 'float64[3], 2 of 3 not finite')
    """
    dtype = _dtype(x)
    text = f"{dtype}{list(np.shape(x))}"
    if not jnp.issubdtype(dtype, jnp.floating) or not np.size(x):
        return text
    bad = int(np.size(x) - jnp.sum(jnp.isfinite(x)))
    return (
        f"{text}, {bad} of {np.size(x)} not finite"
        if bad
        else f"{text} in [{float(jnp.min(x)):.6g}, {float(jnp.max(x)):.6g}]"
    )


def _place(equation: JaxprEqn) -> str:
    """The innermost line of the library; else that of whoever wrote a part."""
    traceback = equation.source_info.traceback
    frames: Sequence[Any] = traceback.frames if traceback else ()
    files = [(Path(frame.file_name), frame) for frame in frames]
    of_users = [(file, frame) for file, frame in files if not file.is_relative_to(_JAX) and file != Path(__file__)]
    of_library = [(file, frame) for file, frame in of_users if file.is_relative_to(_PACKAGE)]
    if not of_users:
        return "an unknown place"
    file, frame = (of_library or of_users)[0]
    shown = file.relative_to(_PACKAGE.parent) if of_library else file.name
    names = [frame.function_name.rsplit(".", 1)[-1], str(equation.source_info.name_stack)]
    return f"{shown}:{frame.line_num} ({', '.join(name for name in names if name)})"
