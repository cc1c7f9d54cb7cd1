# SPDX-License-Identifier: Apache-2.0
"""What writers that were killed leave, and what the next one makes of it."""

import json
import os

import pytest

from astrojax import files
from astrojax.errors import UserError
from astrojax.inference import writers


def left(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


def killed(monkeypatch, paths, at, remove=()):
    """Writes files, and dies at the rename `at`."""
    real, done = os.replace, []

    def replace(old, new):
        if not str(new).endswith(".complete"):
            if len(done) == at:
                raise KeyboardInterrupt
            done.append(new)
        real(old, new)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", replace)
        patched.setattr(files, "_remove", lambda path: None)  # the dead clean nothing up
        with files.atomic_write_all(paths, remove=remove) as temporaries:
            for temporary in temporaries:
                temporary.write_text("new")


@pytest.mark.parametrize("at", [0, 1])
def test_what_a_kill_interrupted_is_completed(tmp_path, monkeypatch, at):
    paths = [tmp_path / "a.csv", tmp_path / "a.png"]
    parts = tmp_path / ".a.csv.parts"
    parts.mkdir()
    killed(monkeypatch, paths, at, [parts])
    assert len(left(tmp_path)) > 1
    # The output is there now, which is said; and nothing else is left.
    with (
        pytest.raises(UserError, match="exists already"),
        writers.new_files(*paths, overwrite=False),
    ):
        pass
    assert [p.read_text() for p in paths] == ["new", "new"] and not left(tmp_path)


def test_a_folder_is_replaced_with_its_table(tmp_path, monkeypatch):
    paths = [tmp_path / "a.csv", tmp_path / "a_sheets"]
    for text in ("old", "new"):
        with files.atomic_write_all(paths) as (table, folder):
            table.write_text(text)
            folder.mkdir()
            (folder / text).write_text(text)
    assert paths[0].read_text() == "new" and os.listdir(paths[1]) == ["new"]


def test_files_of_other_outputs_are_left_alone(tmp_path):
    theirs = [".a.b.7.partial.csv", ".a.7.partial.png", ".ab.7.partial.csv", ".a.x.partial.csv"]
    ours = [".a.7.partial.csv", "..a.7.partial.7.partial.csv", "..a.7.partial.csv.parts"]
    for name in theirs + ours:
        (tmp_path / name).write_text("")
    with files.lock(tmp_path / "a.csv"):
        assert set(left(tmp_path)) == {*theirs, ".a.csv.lock"}


@pytest.mark.parametrize(
    "todo",
    [
        {"rename": [], "remove": ["../precious"]},
        {"rename": [], "remove": ["precious"]},
        {"rename": [[".a.7.partial.csv", "../precious/kept"]], "remove": []},
        {"rename": [["../precious/kept", "a.csv"]], "remove": []},
        {"rename": [[".a.7.partial.csv", ".bashrc"]], "remove": []},
        {"rename": [["precious", "a.csv"]], "remove": []},
        {"rename": 7, "remove": []},
        [],
    ],
)
def test_the_note_of_a_stranger_moves_nothing(tmp_path, todo, caplog):
    for folder in (tmp_path / "precious", tmp_path / "in" / "precious"):
        folder.mkdir(parents=True)
        (folder / "kept").write_text("mine")
    (tmp_path / "in" / ".a.7.partial.csv").write_text("theirs")
    (tmp_path / "in" / ".a.csv.complete").write_text(json.dumps(todo))
    with files.lock(tmp_path / "in" / "a.csv"):
        pass
    assert "was not left by astrojax" in caplog.text and not left(tmp_path / "in")
    assert os.listdir(tmp_path / "in") == ["precious"]
    for folder in (tmp_path / "precious", tmp_path / "in" / "precious"):
        assert [p.read_text() for p in folder.iterdir()] == ["mine"]


def test_a_link_under_a_temporary_name_is_not_written_through(tmp_path):
    for target in ("file", "folder"):
        place = tmp_path / f".a.{os.getpid()}.partial.csv"
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "file").write_text("mine")
        place.symlink_to(tmp_path / target)
        with files.lock(tmp_path / "a.csv"):
            files.write_text(tmp_path / "a.csv", "new")
    assert (tmp_path / "file").read_text() == "mine" and not os.listdir(tmp_path / "folder")
    assert not (tmp_path / "a.csv").is_symlink()
