# SPDX-License-Identifier: Apache-2.0
"""VGG's choice of classifiers."""

import jax
import numpy as np
import pytest

from astrojax.nn.backbones.vgg import average_cells


@pytest.mark.parametrize("h, w, grid", [(14, 7, 7), (10, 3, 7), (5, 6, 1), (1, 1, 7)])
def test_average_cells_equal_loops(h, w, grid):
    x = jax.random.normal(jax.random.key(0), (2, h, w, 3))
    expected = np.zeros((2, grid, grid, 3))
    for i in range(grid):
        for j in range(grid):
            rows = slice(i * h // grid, int(np.ceil((i + 1) * h / grid)))
            columns = slice(j * w // grid, int(np.ceil((j + 1) * w / grid)))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(average_cells(x, grid), expected, rtol=1e-5, atol=1e-6)  # float32
