# SPDX-License-Identifier: Apache-2.0
"""Colors of galaxies, stars and quasars in a survey's bands, from the small tables shipped here.

`tools/make_sed_table.py` makes the tables and says from what. A flux returned here is relative to
the object's own rest-frame flux density at 5500 Angstrom before dust in its galaxy, so it carries
color and k-correction but no distance; the simulator scales it.
"""

import functools
from importlib import resources
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TEMPLATES = ("E", "Sbc", "Scd", "Im")


class SedTable(NamedTuple):
    """AB magnitudes on grids; the star and quasar parts are None in a table without them."""

    bands: tuple[str, ...]
    redshift: np.ndarray  # [nz], evenly spaced, as are the two next
    dust: np.ndarray  # [nd]
    galaxy: np.ndarray  # [nz, 4, nd, c]
    temperature: np.ndarray | None  # [nt], geometric
    star: np.ndarray | None  # [nt, c]
    quasar_redshift: np.ndarray | None  # [nq]
    quasar_slope: np.ndarray | None  # [ns]
    quasar: np.ndarray | None  # [nq, ns, c]


@functools.cache
def load_table(name: str, bands: tuple[str, ...]) -> SedTable:
    """Read a shipped table ("candels" or "splus") and keep the named bands, in that order."""
    path = resources.files("astrojax.simulate.survey") / f"{name}.npz"
    with path.open("rb") as stream, np.load(stream) as file:
        columns = [list(file["bands"]).index(band) for band in bands]
        part = {k: file[k] for k in file.files if k not in ("bands", "extinction")}
    for key in ("galaxy", "star", "quasar"):
        if key in part:
            part[key] = part[key][..., columns]
    arrays: dict[str, Any] = {k: part.get(k) for k in SedTable._fields if k != "bands"}
    return SedTable(bands=bands, **arrays)


def _bracket(grid: np.ndarray, value: Float[Array, ""]) -> tuple[Array, Array]:
    """Index of the node below `value` on an evenly spaced grid, and the fraction to the next."""
    position = (value - grid[0]) * ((len(grid) - 1) / (grid[-1] - grid[0]))
    index = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, len(grid) - 2)
    return index, jnp.clip(position - index, 0.0, 1.0)


def _bilinear(table: np.ndarray, i: Array, u: Array, j: Array, v: Array) -> Float[Array, "..."]:
    nodes = jnp.asarray(table)
    low = (1 - v) * nodes[i, j] + v * nodes[i, j + 1]
    high = (1 - v) * nodes[i + 1, j] + v * nodes[i + 1, j + 1]
    return (1 - u) * low + u * high


def galaxy_flux(
    table: SedTable, redshift: Float[Array, ""], kind: Float[Array, ""], dust: Float[Array, ""]
) -> Float[Array, "c"]:
    """Relative flux of a galaxy in each band.

    Args:
        table: from `load_table`.
        redshift: within the table's range (held at its ends).
        kind: 0 elliptical, 1 Sbc, 2 Scd, 3 irregular; between two, their fluxes are mixed.
        dust: E(B-V) in the host, magnitudes.
    """
    i, u = _bracket(table.redshift, redshift)
    j, v = _bracket(table.dust, dust)
    k, w = _bracket(np.arange(4.0), kind)
    by_redshift = np.moveaxis(table.galaxy, 1, 2)  # [nz, nd, 4, c]
    flux = 10 ** (-0.4 * _bilinear(by_redshift, i, u, j, v))
    return (1 - w) * flux[k] + w * flux[k + 1]


def star_flux(table: SedTable, temperature: Float[Array, ""]) -> Float[Array, "c"]:
    """Relative flux of a star of the given effective temperature (kelvin) in each band."""
    assert table.temperature is not None and table.star is not None
    i, u = _bracket(np.log(table.temperature), jnp.log(temperature))
    star = jnp.asarray(table.star)
    return 10 ** (-0.4 * ((1 - u) * star[i] + u * star[i + 1]))


def quasar_flux(
    table: SedTable, redshift: Float[Array, ""], slope: Float[Array, ""]
) -> Float[Array, "c"]:
    """Relative flux of a quasar whose continuum is f_nu proportional to nu^slope."""
    assert table.quasar_redshift is not None and table.quasar_slope is not None
    assert table.quasar is not None
    i, u = _bracket(table.quasar_redshift, redshift)
    j, v = _bracket(table.quasar_slope, slope)
    return 10 ** (-0.4 * _bilinear(table.quasar, i, u, j, v))
