# SPDX-License-Identifier: Apache-2.0
"""A sample of the hostile files; all of them, in processes that are watched, are `run.py`'s."""

import collections

import make_hostile
import openers
import pytest
import run

SLOW = (*make_hostile.TABLES, "bundle", "finetune")
EACH = 3  # cases of a kind and opener


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "files"
    chosen, seen = [], collections.Counter()
    for case in make_hostile.make(root, 1):
        if case.opener == "hub":  # it needs a process of its own
            continue
        kind = (case.name.split("-")[0], case.opener)
        seen[kind] += 1
        # The first ones, and then ever fewer, so that every kind is there.
        if seen[kind] <= (1 if case.opener in SLOW else EACH) or seen[kind] % 50 == 0:
            chosen.append(case)
    return root, chosen


def test_hostile_files_get_one_sentence_and_nothing_else(cases):
    root, chosen = cases
    watch, wrong = run.Watch(root / "outside"), []
    for case in chosen:
        result, text = openers.outcome(case.opener, root / case.name / case.target)
        record = {"result": result, "text": text, "wanted": case.sentence, "escapes": []}
        record |= {"ran": list(root.glob(f"{case.name}/**/*ran")), "touched": watch.events()}
        if run.failed(record):
            wrong.append(f"{case.name}: {run.failed(record)}")
    assert not wrong, "\n".join(wrong)
    assert len(chosen) > 60
