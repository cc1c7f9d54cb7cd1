# SPDX-License-Identifier: Apache-2.0
"""Reads the text of a compiled program: cycles by part, bytes of collectives, matrix FLOPs.

A program for a TPU carries in each fusion the `estimated_cycles` of its compiler. Of a loop the
text holds the body once, which counts here as often as the loop runs; of a conditional the branch
that costs most counts.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core

PARTS = ("views", "forward", "backward", "update", "rest")

_KINDS = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"
_WIDTH = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "f64": 8, "c64": 8}
_BRANCHES = re.compile(r"(?:true_computation|false_computation)=%?([\w.\-]+)")
_LISTED = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a program with a cost, and how often it runs.

    Attributes:
        name: Its name in the text.
        op_name: The scopes and the operation of JAX that it came from; "" where it has none.
        cycles: The compiler's estimate for one run.
        times: Runs.
    """

    name: str
    op_name: str
    cycles: int
    times: int

    @property
    def part(self) -> str:
        """The part of the training step: one of `PARTS`."""
        scopes = re.split(r"[/()]+", self.op_name)
        if "views" in scopes:
            return "views"
        if "transpose" in scopes and "forward" in scopes:
            return "backward"
        return next((p for p in ("forward", "update") if p in scopes), "rest")


class Program:
    """The text of a compiled program, by computation.

    Args:
        text: `compiled.as_text()`.
    """

    def __init__(self, text: str):
        self.bodies: dict[str, list[str]] = {}
        name = ""
        for line in text.splitlines():
            header = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
            if header:
                name = "ENTRY" if header[1] else header[2]
                self.bodies[name] = []
            elif name:
                self.bodies[name].append(line)

    def lines(self, name: str = "ENTRY", times: int = 1) -> Iterator[tuple[str, int]]:
        """Yields every line that runs, also within what is called, and how often it does."""
        for line in self.bodies.get(name, ()):
            yield line, times
            trips = self._trips(line)
            for key, called in re.findall(r"\b(body|calls|to_apply)=%?([\w.\-]+)", line):
                yield from self.lines(called, times * (trips if key == "body" else 1))
            branches = _BRANCHES.findall(line)
            branches += [
                b for names in _LISTED.findall(line) for b in re.findall(r"[\w.\-]+", names)
            ]
            if branches:
                yield from max((list(self.lines(b, times)) for b in branches), key=_cycles)

    def _trips(self, line: str) -> int:
        """How often the loop of a line runs; 1 where the text does not say."""
        known = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
        if known:
            return int(known[1])
        condition = re.search(r"condition=%?([\w.\-]+)", line)
        body = self.bodies.get(condition[1], []) if condition else []
        root = next((x for x in body if "ROOT" in x and "direction=LT" in x), "")
        operand = re.search(r"compare\([^,]+, %([\w.\-]+)\)", root)
        bound = operand and next(
            (re.search(r"constant\((\d+)\)", x) for x in body if f"%{operand[1]} = " in x), None
        )
        return int(bound[1]) if bound else 1

    def instructions(self) -> list[Instruction]:
        """Returns the lines that have an estimate of cycles."""
        found = []
        for line, times in self.lines():
            cycles, name = _estimate(line), re.search(r"%([\w.\-]+) = ", line)
            if cycles and name:
                op = re.search(r'op_name="([^"]*)"', line)
                found.append(Instruction(name[1], op[1] if op else "", cycles, times))
        return found

    def cycles(self) -> dict[str, int]:
        """Returns the estimated cycles of each part of the step, and their `total`."""
        total = Counter(dict.fromkeys(PARTS, 0))
        for i in self.instructions():
            total[i.part] += i.cycles * i.times
        return {**total, "total": sum(total.values())}

    def collectives(self) -> dict[str, int]:
        """Returns bytes of the results of collectives, by kind, per device."""
        total: Counter[str] = Counter()
        for line, times in self.lines():
            found = re.search(rf"= (\(?[a-z0-9]+\[.*?) ({_KINDS})(-start)?\(", line)
            if found:
                shapes = re.findall(r"\b(pred|[a-z]+\d+)\[([\d,]*)\]", found[1])
                if found[3] and found[2] != "all-reduce":
                    shapes = shapes[len(shapes) // 2 :]  # operands come before results
                total[found[2]] += times * sum(
                    _WIDTH.get(t, 4) * math.prod(int(d) for d in s.split(",") if d)
                    for t, s in shapes
                )
        return dict(total)


def _estimate(line: str) -> int:
    found = re.search(r'"estimated_cycles":"(\d+)"', line)
    return int(found[1]) if found else 0


def _cycles(lines: list[tuple[str, int]]) -> int:
    return sum(_estimate(line) * times for line, times in lines)


def matrix_flops(jaxpr: Any) -> int:
    """Counts the FLOPs of matrix products and convolutions, those in loops as often as they run.

    Where a function has a form for each platform, that with the least arithmetic counts, so that
    the share of peak does not rise with products that only the form needs.

    Args:
        jaxpr: `jax.make_jaxpr(step)(...)` or what is within it.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation: Any) -> int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval, parameters["dimension_numbers"]
        outputs = kernel.shape[numbers.rhs_spec[0]]
        # A gradient for weights is written as a convolution that is as large as its output.
        per_output = kernel.size // outputs // parameters["batch_group_count"]
        return 2 * equation.outvars[0].aval.size * per_output
    if name == "cond":
        return min(matrix_flops(branch) for branch in parameters["branches"])
    inner = sum(
        matrix_flops(j)
        for j in jax.tree.leaves(list(parameters.values()), is_leaf=_is_jaxpr)
        if _is_jaxpr(j)
    )
    return inner * (parameters["length"] if name == "scan" else 1)


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)
