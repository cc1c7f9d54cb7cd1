# SPDX-License-Identifier: Apache-2.0
"""Self-supervised and semi-supervised learning on astronomical images, in JAX and Flax."""

__version__ = "0.1.0"
