# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside of a run ends it, with one sentence and a status; it never waits on."""

import resource

import h5py
import harness
import pytest
import tiny

from astrojax import errors
from astrojax.config import plain
from astrojax.errors import UserError
from astrojax.training import loop
from astrojax.training.run import Run


def test_data_that_never_come_are_named(data, tmp_path):
    run = harness.Harness(tmp_path, data, "--stall-after=2")
    err = harness.finish(run.start(block_at=9), errors.STALLED)
    assert "nothing came for 2 s" in err and "waited for the data of step" in err
    assert "data.name='hdf5'" in err and "Traceback" not in err


def test_processes_that_never_come_are_named(data, tmp_path):
    run = harness.Harness(tmp_path, data, "--stall-after=2")
    alone = run.start("--coordinator=127.0.0.1:1", "--processes=2", "--process=1")
    err = harness.finish(alone, errors.STALLED)
    assert "waited for all 2 processes to come to 127.0.0.1:1" in err and "Traceback" not in err


def test_a_full_disk_is_one_sentence_and_keeps_the_run(data, tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    run = harness.Harness(tmp_path, data, "--config.log_every=60")
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}  # it could not be written
    err = harness.finish(run.start(preexec_fn=little_room, env=cache), errors.USER_ERROR)
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: cannot write") and "File too large" in last
    assert not (run.workdir / "finished.json").exists()
    harness.finish(run.start())


@pytest.mark.parametrize("threads", [0, 2])
def test_a_truncated_record_is_named_by_file_and_index(tmp_path, threads):
    path = tmp_path / "tiny.h5"
    tiny.write_data(path)
    with h5py.File(path, "r+") as file:
        images = file["image"][...]
        del file["image"]
        chunked = file.create_dataset("image", data=images, chunks=(1, 4, 4, 4), compression="gzip")
        where = chunked.id.get_chunk_info(37)
    with path.open("r+b") as file:
        file.seek(where.byte_offset)
        file.write(b"\0" * where.size)
    config = plain(tiny.get_config())
    config["data"] = {**config["data"], "path": str(path)}
    config |= {"threads": threads, "epochs": 2.0}
    with pytest.raises(UserError, match=r"tiny\.h5.*37"):
        loop.train(config, tmp_path / "run")


def test_a_reader_that_fails_is_told_with_the_example(undisturbed, tmp_path):
    config = {**plain(tiny.get_config()), "epochs": 2.0}
    config["data"] = {**config["data"], "path": str(undisturbed.data)}
    sources = Run(config).sources

    class Broken:
        info = sources["train"].info

        def __len__(self):
            return 96

        def __getitem__(self, index):
            if index == 41:
                raise OSError("Stale file handle")
            return sources["train"][index]

        def column(self, name):
            return sources["train"].column(name)

    with pytest.raises(UserError, match="example 41 of the data cannot be read: .*Stale file"):
        loop.train(config, tmp_path / "run", {"train": Broken()})
