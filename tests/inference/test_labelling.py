# SPDX-License-Identifier: Apache-2.0
"""Labels by hand: the file that loses none, the order, the classifier."""

import os

import numpy as np
import pytest

from astrojax.errors import UserError
from astrojax.inference import labelling
from astrojax.inference.label_file import LabelFile, check_classes

CLASSES = ("round", "long", "ring")


@pytest.fixture
def blobs():
    """Embeddings in three groups of 120, 60 and 20, in random order, and the group of each."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(3), (120, 60, 20)))
    return (np.eye(3, 16)[group] * 5 + rng.normal(size=(200, 16))).astype(np.float32), group


@pytest.fixture
def file(tmp_path):
    with LabelFile(tmp_path / "labels.csv") as opened:
        yield opened


def work_on(blobs, file, **options):
    ids = np.array([f"g{i:03d}" for i in range(len(blobs[0]))])
    return labelling.Labelling(
        ids, blobs[0], file, **{"classes": CLASSES, "order": "uncertainty"} | options
    )


def test_every_click_is_a_line_and_undo_takes_it_back(file, tmp_path):
    path = tmp_path / "labels.csv"
    file.add('a,"b"', "round")
    file.add("c\nd", "long")
    assert path.read_text().splitlines()[1].startswith('"a,""b""",round,20')
    file.add("e", "")
    assert file.undo().id == "e"
    file.close()
    again = LabelFile(path)
    assert again.labels() == {'a,"b"': "round", "c d": "long"}
    assert again.undo().label == "long" and again.undo() and again.undo() is None
    again.add("f", "ring")
    assert path.read_text().splitlines()[0] == "id,label,time" and "f,ring" in path.read_text()
    again.close()
    file._file = os.open(path, os.O_RDONLY)  # so that the fixture can close it


def test_a_line_cut_off_by_a_power_failure_is_removed(tmp_path):
    path = tmp_path / "labels.csv"
    for text, kept in (("id,la", {}), ("id,label,time\na,round,t\nb,lo", {"a": "round"})):
        path.write_text(text)
        file = LabelFile(path)
        assert file.labels() == kept
        file.add("z", "ring")
        file.close()
        file = LabelFile(path)
        assert file.labels() == kept | {"z": "ring"}
        file.close()


def test_a_full_disk_leaves_the_file_as_it_was(file, tmp_path, monkeypatch):
    file.add("a", "round")
    before = (tmp_path / "labels.csv").read_bytes()
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, data[:3], at))
    with pytest.raises(UserError, match="cannot write .*no space left"):
        file.add("b", "long")
    assert (tmp_path / "labels.csv").read_bytes() == before and set(file.labels()) == {"a"}


def test_files_of_others_are_left_alone(file, tmp_path):
    with pytest.raises(UserError, match="another `astrojax label` is writing"):
        LabelFile(tmp_path / "labels.csv")
    (tmp_path / "cat.csv").write_text("ID,MAG\n1,2\n")
    with pytest.raises(UserError, match="was not written by"):
        LabelFile(tmp_path / "cat.csv")
    with pytest.raises(UserError, match="there is no folder"):
        LabelFile(tmp_path / "absent" / "labels.csv")


def test_classes_are_those_given_or_those_used():
    assert check_classes("a, b,c", []) == ("a", "b", "c")
    assert check_classes(None, ["b", "", "a", "b"]) == ("b", "a")
    for given, used, message in (
        (None, ["a"], "two or more"),
        ("a,b,a", [], "one twice"),
        ("a,b", ["c"], "labels c, which --classes lacks"),
        (",".join("abcdefghij"), [], "keys for 9"),
    ):
        with pytest.raises(UserError, match=message):
            check_classes(given, used)


def test_first_objects_come_from_all_over(blobs):
    embedding, group = blobs
    order = labelling.by_diversity(embedding, seed=0)
    assert sorted(order) == list(range(200))
    assert set(group[order[:12]]) == {0, 1, 2}  # by chance 1 in 4 would lack the smallest


def test_uncertain_and_similar_objects_come_first(blobs):
    p = np.array([[0.9, 0.1, 0.0], [0.4, 0.35, 0.25], [0.5, 0.5, 0.0]])
    assert labelling.by_uncertainty(p).tolist() == [2, 1, 0]
    embedding, group = blobs
    first = np.flatnonzero(group == 2)[:1]
    order = labelling.by_similarity(embedding, embedding[first])
    assert order[0] == first[0] and (group[order[:10]] == 2).mean() > 0.7


def test_active_learning_needs_few_labels(blobs, file):
    embedding, group = blobs
    work = work_on(blobs, file)
    assert work.guess("g000") == {} and work.status()["head"] is None
    with pytest.raises(UserError, match="two classes"):
        work.refit()
    for _ in range(30):
        (key,) = work.next(1)
        work.add(key, CLASSES[group[work.place[key]]])
    assert work.head.labels == 30 and set(work.head.classes) == {0, 1, 2}
    assert (work.probability.argmax(axis=1) == group).mean() > 0.97
    assert work.head.accuracy > 0.7  # of objects chosen because they are hard
    assert sum(work.guess("g000").values()) == pytest.approx(1)
    assert work.counts() == {
        n: 30 - sum(v for k, v in work.counts().items() if k != n) for n in CLASSES
    }
    # Uncertain objects are next, and none twice.
    coming = work.next(50)
    assert not set(coming) & set(work.known) and len(set(coming)) == 50
    margin = np.sort(
        [work.guess(k) and np.ptp(sorted(work.guess(k).values())[-2:]) for k in coming]
    )
    assert margin[-1] <= np.median(np.ptp(np.sort(work.probability)[:, -2:], axis=1))


def test_skip_undo_and_requests_sent_twice(blobs, file):
    work = work_on(blobs, file, order="diversity", refit_every=0)
    first, second, third = work.next(3)
    work.add(first, "")
    work.add(second, "ring")
    work.add(second, "ring")
    assert len(file.entries) == 2 and work.next(1) == [third]
    with pytest.raises(UserError, match="undo that first"):
        work.add(second, "long")
    for key, label in (("absent", "ring"), (third, "unheard of")):
        with pytest.raises(UserError, match="no object"):
            work.add(key, label)
    assert work.status()["skipped"] == 1 and work.status()["labelled"] == 1
    assert work.undo() == second and work.next(2) == [second, third]
    assert work.undo() == first and work.next(3) == [first, second, third]
    assert work.undo() is None
    again = work_on(blobs, file, order="diversity")
    assert again.next(3) == [first, second, third]


def test_one_label_of_a_class_is_enough_to_fit(blobs):
    embedding, group = blobs
    rows = np.array([np.flatnonzero(group == c)[0] for c in (0, 2)])
    head = labelling.Head(embedding, rows, np.array([0, 2]), seed=0)
    assert head.accuracy is None and head.classes.tolist() == [0, 2]
    right = head.probability(embedding[group == 2])[:, 1] > 0.5
    assert right.mean() > 0.8
