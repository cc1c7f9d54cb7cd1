# SPDX-License-Identifier: Apache-2.0
"""Simulated strong lenses: deflection, light, observation."""
