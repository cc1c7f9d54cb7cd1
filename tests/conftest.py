# SPDX-License-Identifier: Apache-2.0
"""Eight CPU devices, a compilation cache, and annotations that are checked."""

import os
import sys
import types

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
).strip()

from beartype import BeartypeConf, beartype  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# The hook takes the checker by name; this one lets an int stand for a float, as PEP 484 does.
checker = types.ModuleType("annotation_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook("astrojax", "annotation_checker.check")

from astrojax import sharding  # noqa: E402

sharding.setup()
