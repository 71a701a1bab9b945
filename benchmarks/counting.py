"""The matrix products of a trace, each counted once: what is left when a compiler has removed what is computed twice.

An equation of a trace is a node of a graph, and equations of the same primitive, parameters and inputs are one node.
Counted are the products among the nodes on which the results depend. The trace itself has more of them: a world model's
inference and its step call the same networks on the same inputs.
"""

import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Literal

from benchmarks.update import Product, flops

Count = collections.Counter[Product]
_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call")


def distinct_operations(function: Callable[..., Any], *args: Any) -> float:
    """Floating-point operations of a function's distinct products, traced on arguments or their shapes.

    Those of a loop count as often as it runs, where that is known, and of the branches of a condition those of the
    costliest.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.ones((2, 3))
        >>> distinct_operations(lambda x: (x @ x.T + x @ x.T, x.T @ x)[0], x)  # 2 · 2 · 3 · 2, once
        24.0
    """
    return _operations(_needed(jax.make_jaxpr(function)(*args)))


def _operations(count: Count) -> float:
    return float(sum(flops(product) * times for product, times in count.items()))


class _Node(NamedTuple):
    """What an equation computes, and the numbers of the nodes that it takes."""

    products: Count
    inputs: tuple[int, ...]


class _Graph:
    """Nodes by number; one that is entered again keeps its number."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._numbers: dict[Any, int] = {}

    def enter(self, key: Any, inputs: tuple[int, ...] = (), products: Count | None = None) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(_Node(collections.Counter() if products is None else products, inputs))
        return self._numbers[key]

    def needed(self, results: Iterable[int]) -> Count:
        """The products of all nodes on which results depend."""
        count: Count = collections.Counter()
        seen, waiting = set(), list(results)
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                count.update(self.nodes[number].products)
                waiting += self.nodes[number].inputs
        return count


def _needed(closed: Any) -> Count:
    graph, jaxpr = _Graph(), closed.jaxpr
    constants = [graph.enter(("constant", i)) for i, _ in enumerate(jaxpr.constvars)]
    arguments = [graph.enter(("argument", i)) for i, _ in enumerate(jaxpr.invars)]
    return graph.needed(_enter(graph, jaxpr, constants, arguments))


def _enter(graph: _Graph, jaxpr: Any, constants: Sequence[int], arguments: Sequence[int]) -> list[int]:
    """Enters the equations of a trace; the numbers of its results."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True))

    def number_of(atom: Any) -> int:
        is_literal = isinstance(atom, Literal)
        return graph.enter(("literal", str(atom.val), str(atom.aval))) if is_literal else known[atom]

    for equation in jaxpr.eqns:
        inputs = tuple(map(number_of, equation.invars))
        if equation.primitive.name in _CALLS:
            body = equation.params.get("jaxpr") or equation.params["call_jaxpr"]
            inner = [graph.enter(("constant", id(constant))) for constant in body.consts]
            outputs = _enter(graph, body.jaxpr, inner, inputs)
        else:
            node = _enter_node(graph, equation, inputs)
            outputs = [graph.enter((node, i), (node,)) for i, _ in enumerate(equation.outvars)]
        known.update(zip(equation.outvars, outputs, strict=True))
    return [number_of(atom) for atom in jaxpr.outvars]


def _enter_node(graph: _Graph, equation: Any, inputs: tuple[int, ...]) -> int:
    name, parameters = equation.primitive.name, equation.params
    bodies = [x for x in jax.tree.leaves(list(parameters.values()), is_leaf=_is_trace) if _is_trace(x)]
    if bodies:
        counts = [_needed(body) for body in bodies]
        total: Count = collections.Counter()
        for count in [max(counts, key=_operations)] if name == "cond" else counts:
            total.update({product: times * parameters.get("length", 1) for product, times in count.items()})
        return graph.enter((name, len(graph.nodes)), inputs, total)
    products: Count = collections.Counter()
    if name == "dot_general":
        left, right = (atom.aval.shape for atom in equation.invars)
        products[left, right, parameters["dimension_numbers"]] = 1
    return graph.enter((name, str(sorted(parameters.items(), key=str)), inputs), inputs, products)


def _is_trace(x: Any) -> bool:
    return isinstance(x, ClosedJaxpr)
