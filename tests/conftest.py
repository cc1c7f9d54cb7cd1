# SPDX-License-Identifier: Apache-2.0
"""Eight CPU devices, a compilation cache, and annotations that are checked."""

import functools
import importlib.util
import json
import os
import sys
import types
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the suite's time is compilation, of programs that run once on tiny arrays.
QUICK = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()

import pytest  # noqa: E402
from beartype import BeartypeConf, beartype  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

# The hook takes the checker by name; this one lets an int stand for a float, as PEP 484 does.
checker = types.ModuleType("annotation_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook("astrojax", "annotation_checker.check")

from astrojax import distributed  # noqa: E402

distributed.enable_compilation_cache()

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture(scope="session")
def experiment():
    """`experiment(name, variant)` gives the config of an experiment as a plain dict."""
    from astrojax.config import plain

    @functools.cache
    def module(name):
        spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return lambda name, variant="": plain(module(name).get_config(variant))


@pytest.fixture(scope="session")
def open_data():
    """`open_data(section)` opens a config's data once for all tests that use it."""
    from astrojax.data.open import open_sources

    opened = {}

    def load(section):
        key = json.dumps(section, sort_keys=True)
        if key not in opened:
            opened[key] = open_sources(section)
        return dict(opened[key])

    return load


@pytest.fixture
def fails(capsys):
    """`fails(command, *arguments)` gives the one line that a command ends with."""

    def run(command, *arguments):
        with pytest.raises(SystemExit) as stopped:
            command.main(list(map(str, arguments)))
        assert stopped.value.code == 2
        (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
        return line

    return run
