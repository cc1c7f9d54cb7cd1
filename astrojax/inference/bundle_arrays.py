# SPDX-License-Identifier: Apache-2.0
"""The arrays of a bundle: read with checks, put into a method, and taken out of one."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax.errors import UserError
from astrojax.methods import Method


def read(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of a safetensors file; they are finite.

    Raises:
        UserError: The file is damaged, or an array has NaN or infinite values.
    """
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except Exception as error:  # types of numbers that NumPy has not, beside what is damaged
        raise UserError(f"{path} is damaged ({error}): export the run again") from None
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserError(f"{path}: '{name}' has values that are not finite")
    return arrays


def fill(method: Method, saved: dict[str, np.ndarray], folder: Path) -> None:
    """Puts saved arrays into a method.

    Raises:
        UserError: An array is missing, left over, or of another shape or type.
    """
    state = nnx.state(method)
    for path, variable in nnx.to_flat_state(state):
        name = "/".join(map(str, path))
        if name not in saved or saved[name].shape != variable.shape:
            found = saved[name].shape if name in saved else "absent"
            raise UserError(f"{folder}: '{name}' is {found}, the config needs {variable.shape}")
        if saved[name].dtype != variable.dtype:
            raise UserError(
                f"{folder}: '{name}' has the type {saved[name].dtype}, the config needs "
                f"{variable.dtype}"
            )
        variable.set_value(jnp.asarray(saved.pop(name)))
    if saved:
        raise UserError(f"{folder}: the config has no place for {', '.join(sorted(saved))}")
    nnx.update(method, state)


def of(method: Method) -> dict[str, np.ndarray]:
    """Returns the arrays of a method by the paths of their variables."""
    return {
        "/".join(map(str, path)): np.array(variable.get_value(), order="C")
        for path, variable in nnx.to_flat_state(nnx.state(method))
    }
