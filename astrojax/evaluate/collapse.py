# SPDX-License-Identifier: Apache-2.0
"""Signs of collapse in embeddings: their spread and effective rank."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def health(embeddings: Float[Array, "n d"]) -> dict[str, Float[Array, ""]]:
    """Signs of a collapsed representation.

    Returns:
        `feature_std`: standard deviation over examples of each L2-normalised feature, averaged
            and times sqrt(d): near 1 for isotropic embeddings, 0 when all are equal.
        `effective_rank`: RankMe, exp of the entropy of the normalised singular values of the
            centred embeddings (Garrido et al. 2023), at most min(n, d).
    """
    x = embeddings.astype(jnp.float32)
    unit = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    spread = jnp.std(unit, axis=0).mean() * jnp.sqrt(x.shape[-1])
    values = jnp.linalg.svd(x - x.mean(0), compute_uv=False)
    p = values / jnp.maximum(values.sum(), 1e-12) + 1e-7
    return {"feature_std": spread, "effective_rank": jnp.exp(-jnp.sum(p * jnp.log(p)))}
