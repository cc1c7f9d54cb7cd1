# SPDX-License-Identifier: Apache-2.0
"""Sources that change the examples of another source: units, dust, composites, labels."""
