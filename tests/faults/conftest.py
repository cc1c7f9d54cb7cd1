# SPDX-License-Identifier: Apache-2.0
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    import tiny

    path = tmp_path_factory.mktemp("data") / "tiny.h5"
    tiny.write_data(path)
    return path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, data):
    import harness

    runs = harness.Harness(tmp_path_factory.mktemp("undisturbed"), data)
    harness.finish(runs.start())
    return runs
