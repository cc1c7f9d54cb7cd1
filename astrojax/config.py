# SPDX-License-Identifier: Apache-2.0
"""Config sections bound to function signatures: the only validation of hyper-parameters.

A section of the config is a dict; the component it configures is a function (or class) with
keyword-only parameters and no defaults. `call` checks the two against each other, so that a
misspelt key, a missing key or a wrong type is one sentence at start, and a key that nothing reads
cannot exist.
"""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from astrojax.errors import UserError

_PLAIN = (bool, int, float, str, tuple, dict, type(None))


def call(fn: Callable, section: Mapping[str, Any], *, path: str, **runtime: Any) -> Any:
    """Calls `fn` with the keys of a config section and with what only the running program knows.

    Args:
        fn: A function or class whose config-facing parameters are keyword-only.
        section: Config keys; a key `name` that `fn` does not take (it chose `fn`) is dropped.
        path: Where the section stands in the config, e.g. "method.backbone", for messages.
        **runtime: Arguments that no config can set, e.g. `rngs`.

    Raises:
        UserError: A key is unknown, missing or of the wrong type; the message names it.
    """
    return fn(**check(fn, section, path=path, runtime=tuple(runtime)), **runtime)


def check(
    fn: Callable, section: Mapping[str, Any], *, path: str, runtime: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Returns the keyword arguments that `section` gives to `fn`, or raises `UserError`."""
    fn = fn.__init__ if inspect.isclass(fn) else fn
    parameters = {
        name: p
        for name, p in inspect.signature(fn).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY and name not in runtime
    }
    hints = typing.get_type_hints(fn)
    arguments = {k: plain(v) for k, v in section.items() if k != "name" or "name" in parameters}
    for key, value in arguments.items():
        if key not in parameters:
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"config key '{path}.{key}' is not read by anything{hint} "
                f"(keys here: {', '.join(sorted(parameters)) or 'none'})"
            )
        arguments[key] = _typed(value, hints.get(key, Any), f"{path}.{key}")
    for name, parameter in parameters.items():
        if name not in arguments and parameter.default is inspect.Parameter.empty:
            raise UserError(f"config key '{path}.{name}' is missing: set it in the experiment")
    return arguments


def plain(value: Any) -> Any:
    """Config values as plain Python: dicts, and tuples where ConfigDict or JSON has lists."""
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    return value


def _typed(value: Any, hint: Any, where: str) -> Any:
    """Checks a value against an annotation made of plain types; ints pass as floats."""
    allowed = _alternatives(hint)
    if not allowed:
        return value
    for kind in allowed:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
            return value
    names = " or ".join("None" if k is type(None) else k.__name__ for k in allowed)
    raise UserError(f"config key '{where}' is {value!r}; it has to be {names}")


def _alternatives(hint: Any) -> tuple[type, ...]:
    """The plain types an annotation allows; empty if it is not made of plain types alone."""
    options = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    kinds = tuple(typing.get_origin(o) or o for o in options)
    return kinds if all(k in _PLAIN for k in kinds) else ()
