# SPDX-License-Identifier: Apache-2.0
"""Data sources, one file per format, and the pipeline that batches them."""
