# SPDX-License-Identifier: Apache-2.0
"""Weights from and for other libraries."""
