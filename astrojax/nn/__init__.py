# SPDX-License-Identifier: Apache-2.0
"""Layers, encoders, mixture densities and backbones in flax.nnx."""
