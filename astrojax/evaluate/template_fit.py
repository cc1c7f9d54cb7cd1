# SPDX-License-Identifier: Apache-2.0
"""The template-fitting oracle on the embedded survey: the limit of photometry alone.

It knows the simulator's spectra, dust, errors and priors (`simulate/template_fit.py`), fits the
test set's catalogue fluxes, and is scored as every photo-z is. A method that reads morphology off
the pixels can do better; one that sees fluxes alone cannot.
"""

from typing import Any, Literal

import numpy as np

from astrojax.evaluate import photoz, quantities, resampling
from astrojax.evaluate.report import Section
from astrojax.simulate.survey import mock as simulator
from astrojax.simulate.survey.template_fitting import fit

_NEEDED = ("flux", "flux_error", "ebv", "redshift")


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if the data have not what is fitted; needs no embedding."""
    (table,) = quantities.require(tables, "template_fit", "test")
    quantities.require_values({"test": table}, _NEEDED, "template_fit")


def evaluate(
    tables: dict[str, Any],
    *,
    survey: Literal["candels", "splus", "nearby"],
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Fits every test object with a reference redshift.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        survey: Name of the simulated survey.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: The data are not of the embedded survey.
    """
    check(tables)
    (table,) = quantities.require(tables, "template_fit", "test")
    flux, error, ebv, z_ref = (np.asarray(table.columns[name]) for name in _NEEDED)
    known = np.isfinite(z_ref)
    found = fit(flux[known], error[known], ebv[known], survey=simulator.named(survey))
    z_fit, z_ref = np.asarray(found.median, np.float64), z_ref[known].astype(np.float64)
    numbers = resampling.with_bootstrap_errors(
        photoz.metrics, z_fit, z_ref, seed=seed, n_bootstrap=n_bootstrap
    )
    told = "Template fit that knows the simulator: what four magnitudes can tell at best."
    return Section("template_fit", numbers, [], text=told)
