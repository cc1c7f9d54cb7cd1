# SPDX-License-Identifier: Apache-2.0
"""A run is scored on its own data, or on those of another experiment."""

import json

import pytest

from astrojax.errors import UserError
from astrojax.inference import evaluation as evaluation
from astrojax.training import loop


@pytest.fixture(scope="module")
def trained(tmp_path_factory, experiment, open_data):
    workdir = tmp_path_factory.mktemp("evaluation") / "run"
    config = experiment("photoz_mlp", "smoke")
    loop.train(config, workdir, open_data(config["data"]))
    return workdir, config


def test_data_and_tasks_of_another_experiment(trained):
    workdir, config = trained
    data = config["data"] | {"test": 24, "seed": 7}
    other = config | {"data": data, "evaluate": {"photoz": config["evaluate"]["photoz"]}}
    evaluation.run(workdir, other=other, folder="evaluation_other")
    found = json.loads((workdir / "evaluation_other" / "metrics.json").read_text())
    assert found["photoz"]["objects"] == 24
    assert not (workdir / "evaluation").exists()


def test_other_bands_are_refused(trained):
    workdir, config = trained
    told = {"info": {"bands": ("g", "r"), "unit": "nanomaggies"}}
    mine = json.loads((workdir / "config.json").read_text())
    mine["data"]["info"] = {"bands": ["u", "g", "r", "i"], "unit": "nanomaggies"}
    (workdir / "config.json").write_text(json.dumps(mine))
    with pytest.raises(UserError, match="bands"):
        evaluation.run(workdir, other=config | {"data": told})
