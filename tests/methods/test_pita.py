# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax import losses, methods
from astrojax.data.info import DataInfo


def test_the_redshift_term_of_a_mixture_is_the_likelihood_of_what_it_predicts(experiment):
    section = experiment("pita", "smoke")["method"]
    still = {"crop": 24, "rotate": False, "flip": False, "shift": 0.0, "noise": 0.0}
    section |= {
        "redshift_components": 2,
        "test_time_augmentation": 1,
        "view": section["view"] | still,
    }
    info = DataInfo(bands=("a", "b", "c", "d"), image_size=24, zero_point=23.9, noise=(1.0,) * 4)
    pita = methods.build(section, info=info, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.normal(size=(5, 24, 24, 4)), jnp.float32)
    redshift = jnp.array([0.1, 0.5, 1.0, 2.0, jnp.nan])
    magnitude = jnp.asarray(rng.uniform(20, 24, (5, 4)), jnp.float32)
    batch = {"image": image, "redshift": redshift, "magnitude": magnitude}
    both = nnx.jit(lambda m: (m.loss(batch, jax.random.key(0))[1], m.predict(image)))
    logs, found = both(pita)
    parts = (jnp.log(found["redshift_weights"]), found["redshift_means"], found["redshift_sigmas"])
    expected = losses.mixture_nll(*parts, redshift)[:4].mean()
    np.testing.assert_allclose(logs["redshift"], expected, rtol=1e-3)  # resampled in float32
    assert found["redshift_sigma"].shape == (5,) and found["color"].shape == (5, 4)
