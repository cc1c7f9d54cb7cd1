# SPDX-License-Identifier: Apache-2.0
import pytest

from astrojax.config import call, plain
from astrojax.errors import UserError


def component(
    *, width: int, rate: float, name: str, sizes: tuple[int, ...], note: str | None, seed
):
    return width, rate, name, sizes, note, seed


GOOD = {"width": 3, "rate": 1, "name": "x", "sizes": [1, 2], "note": None}


def test_binds_keys_and_runtime_arguments():
    assert call(component, GOOD, path="p", seed=7) == (3, 1.0, "x", (1, 2), None, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widht": 4}, "'p.widht' is not read by anything; did you mean 'width'"),
        ({"width": 2.5}, "'p.width' is 2.5; it has to be int"),
        ({"width": True}, "'p.width' is True; it has to be int"),
        ({"rate": "fast"}, "'p.rate' is 'fast'; it has to be float"),
        ({"note": 3}, "'p.note' is 3; it has to be str or None"),
        ({"seed": 1}, "'p.seed' is not read"),
    ],
)
def test_a_mistake_is_a_sentence_that_names_the_key(change, message):
    with pytest.raises(UserError, match=message):
        call(component, {**GOOD, **change}, path="p", seed=7)


def test_a_missing_key_is_named():
    with pytest.raises(UserError, match="'p.rate' is missing"):
        call(component, {k: v for k, v in GOOD.items() if k != "rate"}, path="p", seed=7)


def test_plain_turns_nested_lists_to_tuples():
    assert plain({"a": [1, [2]], "b": {"c": []}}) == {"a": (1, (2,)), "b": {"c": ()}}
