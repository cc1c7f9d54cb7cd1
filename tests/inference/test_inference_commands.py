# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from astropy.table import Table

from astrojax import embed, predict
from astrojax.evaluate.embed import Table as Embedded

SAID = ["--set", "bands=g,r", "--set", "unit=nanomaggies", "--set", "pixel_scale=0.2"]


def fails(command, arguments, capsys):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    return line


def test_predictions_of_unlabelled_stamps(run, stamps, images, tmp_path):
    out = tmp_path / "t.parquet"
    predict.main(["--workdir", str(run), "--data", stamps, *SAID, "--out", str(out),
                  "--with-embedding", "--set", "columns.redshift=zspec"])  # fmt: skip
    table = Table.read(out)
    assert len(table) == 60 and table["id"][1] == "s001"
    right = np.mean(np.array(table["predicted_label"])[8:] == images[1][8:])
    assert right > 0.9, right
    names = np.array(["round", "long"])
    assert (table["predicted_class"][8:] == names[table["predicted_label"][8:]]).all()
    both = table["predicted_class_probability_round"] + table["predicted_class_probability_long"]
    np.testing.assert_allclose(both[8:], 1, atol=1e-6)
    np.testing.assert_allclose(table["redshift"], np.linspace(0, 1, 60), atol=1e-6)
