# SPDX-License-Identifier: Apache-2.0
"""The Lupton composite against astropy's."""

import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.simulate.rgb import lupton


@pytest.mark.parametrize(("stretch", "q", "minimum"), [(5.0, 8.0, 0.0), (0.5, 3.0, -0.2)])
def test_equals_astropy(stretch, q, minimum):
    visualization = pytest.importorskip("astropy.visualization")
    image = np.random.default_rng(0).normal(size=(24, 20, 3)) ** 3 * 4
    expected = visualization.make_lupton_rgb(
        *np.moveaxis(image, -1, 0), minimum=minimum, stretch=stretch, Q=q
    )
    found = lupton(jnp.asarray(image, jnp.float32), stretch=stretch, q=q, minimum=minimum)
    # float32 may fall on the other side of a whole grey level.
    assert np.abs(np.asarray(found).astype(int) - expected.astype(int)).max() <= 1
