# SPDX-License-Identifier: Apache-2.0
"""Config sections bound to function signatures: the only validation of hyper-parameters.

A section of the config is a dict; the component it configures is a function (or class) with
keyword-only parameters. `bind` checks the two against each other, so that a misspelt key, a missing
key or a wrong type is one sentence at start, and a key that nothing reads cannot exist.
"""

import dataclasses
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from astrojax.errors import UserError

_PLAIN = (bool, int, float, str, dict, tuple, type(None))


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function and the keyword arguments that a config section gives it, checked.

    Attributes:
        fn: The function or class.
        arguments: Its keyword arguments from the config.
    """

    fn: Callable
    arguments: dict[str, Any]

    def __call__(self, **runtime: Any) -> Any:
        """Calls the function with what only the running program knows beside the config."""
        return self.fn(**self.arguments, **runtime)


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
    return bind(fn, section, path=path, runtime=tuple(runtime))(**runtime)


def bind(
    fn: Callable, section: Mapping[str, Any], *, path: str, runtime: tuple[str, ...] = ()
) -> Bound:
    """Returns `fn` with the keyword arguments that `section` gives it, and its defaults.

    Args:
        fn: A function or class whose config-facing parameters are keyword-only.
        section: Config keys, as `plain` returns them.
        path: Where the section stands in the config, for messages.
        runtime: Names of the arguments that no config can set.

    Raises:
        UserError: A key is unknown, missing or of the wrong type; the message names it.
    """
    target = fn.__init__ if inspect.isclass(fn) else fn
    parameters = {
        name: p
        for name, p in inspect.signature(target).parameters.items()
        if p.kind is inspect.Parameter.KEYWORD_ONLY and name not in runtime
    }
    hints = typing.get_type_hints(target)
    arguments = {k: v for k, v in section.items() if k != "name" or "name" in parameters}
    for key, value in arguments.items():
        if key not in parameters:
            near = difflib.get_close_matches(key, parameters, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(
                f"config key '{path}.{key}' is not read by anything{hint} "
                f"(keys here: {', '.join(sorted(parameters)) or 'none'})"
            )
        hint = hints.get(key, Any)
        matched, arguments[key] = _match(value, hint)
        if not matched:
            raise UserError(
                f"config key '{path}.{key}' is {value!r}; it has to be {_describe(hint)}"
            )
    for name, parameter in parameters.items():
        if name not in arguments and parameter.default is inspect.Parameter.empty:
            raise UserError(f"config key '{path}.{name}' is missing: set it in the experiment")
        arguments.setdefault(name, parameter.default)
    return Bound(fn, arguments)


def plain(value: Any) -> Any:
    """Returns config values as plain Python: dicts, and tuples where ConfigDict or JSON has lists.

    To be called once, where a config enters: from a file, from the command line or from a user.
    """
    if isinstance(value, Mapping) or hasattr(value, "items"):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(plain(v) for v in value)
    return value


def _match(value: Any, hint: Any) -> tuple[bool, Any]:
    """Returns whether a value is what an annotation of plain types allows, and the value.

    Ints become floats where a float is asked for. Annotations of other types allow everything:
    such parameters are not set by a config.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in options, value
    if origin in (typing.Union, types.UnionType):
        tried = [_match(value, option) for option in options]
        return next((pair for pair in tried if pair[0]), (False, value))
    if origin is tuple and isinstance(value, list | tuple):
        if options[-1:] == (Ellipsis,):
            options = options[:1] * len(value)
        tried = [_match(v, option) for v, option in zip(value, options, strict=False)]
        fits = len(value) == len(options) and all(matched for matched, _ in tried)
        return fits, tuple(v for _, v in tried) if fits else value
    if origin is dict and isinstance(value, dict):
        entries = [(k, _match(k, options[0])[0], _match(v, options[1])) for k, v in value.items()]
        fits = all(key and matched for _, key, (matched, _) in entries)
        return fits, {k: v for k, _, (_, v) in entries} if fits else value
    kind = origin or hint
    if kind is tuple and isinstance(value, list):
        return True, tuple(value)
    if kind not in _PLAIN:
        return True, value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    return isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool), value


def _describe(hint: Any) -> str:
    """Returns an annotation in words, e.g. "a tuple of int or None"."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(repr, options))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_describe, options))
    if origin is tuple:
        if options[-1:] == (Ellipsis,):
            return f"a tuple of {_describe(options[0])}"
        return f"a tuple of {len(options)} values ({', '.join(map(_describe, options))})"
    if origin is dict:
        return f"a dict of {_describe(options[1])}"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))
