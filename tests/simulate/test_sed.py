# SPDX-License-Identifier: Apache-2.0
"""The shipped color tables: remade from their sources, and compared with GalSim's integrals."""

import importlib.util
from importlib import resources
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.simulate.survey import sed
from astrojax.simulate.survey.mock import CANDELS, NEARBY, SPLUS


@pytest.fixture(scope="module")
def maker():
    pytest.importorskip("galsim")
    path = Path(__file__).parents[2] / "tools" / "make_sed_table.py"
    spec = importlib.util.spec_from_file_location("make_sed_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["candels", "splus"])
def test_the_committed_script_makes_the_shipped_table(maker, name):
    made = getattr(maker, name)()
    with np.load(resources.files("astrojax.simulate.survey") / f"{name}.npz") as shipped:
        assert set(shipped.files) == set(made)
        assert list(shipped["bands"]) == list(made["bands"])
        for key in set(made) - {"bands"}:
            # Stored to 1e-4, so half of that, and float32's own step.
            np.testing.assert_allclose(shipped[key], made[key], rtol=1e-6, atol=6e-5)


def test_extinction_of_the_surveys_is_that_of_the_table(maker):
    by_band = dict(zip(maker.SPLUS, maker.splus()["extinction"], strict=True))
    for survey in (SPLUS, NEARBY):
        expected = [by_band[band] for band in survey.bands]
        np.testing.assert_allclose(survey.extinction, expected, atol=0.006)  # two decimals


@pytest.mark.parametrize("redshift", [0.004, 0.517, 1.288, 2.231])  # between the table's nodes
@pytest.mark.parametrize("template", range(4))
def test_magnitudes_equal_galsims(redshift, template):
    galsim = pytest.importorskip("galsim")
    files = ("ACS_wfc_F606W", "ACS_wfc_F814W", "WFC3_ir_F125W", "WFC3_ir_F160W")
    rest = galsim.SED(f"CWW_{sed.TEMPLATES[template]}_ext.sed", "Ang", "flambda")
    shifted = rest.atRedshift(redshift)
    bands = [galsim.Bandpass(f"{file}.dat", "nm").withZeropoint("AB") for file in files]
    expected = np.array([shifted.calculateMagnitude(band) for band in bands])
    # Only colors: the table is relative to the rest-frame light at 5500 Angstrom.
    table = sed.load_table("candels", CANDELS.bands)
    args = (jnp.float32(redshift), jnp.float32(template), jnp.float32(0))
    magnitude = -2.5 * np.log10(np.asarray(sed.galaxy_flux(table, *args)))
    np.testing.assert_allclose(magnitude - magnitude[3], expected - expected[3], atol=0.01)


def test_a_type_between_two_templates_mixes_their_fluxes():
    table = sed.load_table("candels", CANDELS.bands)
    z, dust = jnp.float32(0.7), jnp.float32(0.15)
    low, middle, high = (sed.galaxy_flux(table, z, jnp.float32(t), dust) for t in (1, 1.25, 2))
    np.testing.assert_allclose(middle, 0.75 * low + 0.25 * high, rtol=1e-5)


def test_dust_reddens_and_cool_stars_are_red():
    table = sed.load_table("splus", SPLUS.bands)
    args = jnp.float32(0.1), jnp.float32(2.0)
    ratio = sed.galaxy_flux(table, *args, jnp.float32(0.3)) / sed.galaxy_flux(
        table, *args, jnp.float32(0)
    )
    assert (np.diff(np.asarray(ratio)) > 0).all() and float(ratio.max()) < 1
    cool, hot = (sed.star_flux(table, jnp.float32(t)) for t in (4000, 10000))
    assert float(cool[0] / cool[-1]) < 0.1 * float(hot[0] / hot[-1])


def test_a_quasars_broad_line_moves_through_the_narrow_bands():
    table = sed.load_table("splus", SPLUS.bands)
    f660 = SPLUS.bands.index("F660")
    # Mg II 2798 falls on 6614 Angstrom at z = 1.364, and clear of it at z = 1.5.
    on, off = (sed.quasar_flux(table, jnp.float32(z), jnp.float32(-0.5)) for z in (1.364, 1.5))
    assert float(on[f660] / on[f660 - 1]) > 1.1 * float(off[f660] / off[f660 - 1])
