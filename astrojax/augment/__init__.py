# SPDX-License-Identifier: Apache-2.0
"""Random views of images, made on the devices: galaxies, everyday photographs, block masks."""
