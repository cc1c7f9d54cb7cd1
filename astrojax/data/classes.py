# SPDX-License-Identifier: Apache-2.0
"""Class labels: names, codes or indices of a file become indices into a list of classes."""

import logging

import numpy as np
from jaxtyping import Int, Shaped

from astrojax.data import validate
from astrojax.data.keys import Classes, Others
from astrojax.data.native import missing_values
from astrojax.errors import UserError

# What libraries and people write where there is no value: those of pandas, and of astropy's print.
MISSING_WORDS = (
    *("", "nan", "NaN", "-nan", "-NaN", "NULL", "null", "None", "none", "<NA>", "N/A", "n/a"),
    *("NA", "#N/A", "#NA", "#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "--"),
)


def encode_labels(
    values: Shaped[np.ndarray, " n"],
    *,
    names: tuple[str, ...] | None,
    classes: Classes | None,
    others: Others,
    where: str,
    may_lack: bool = False,
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...], Int[np.ndarray, " m"]]:
    """Returns integer labels of the classes asked for.

    What is missing has no label, -1: a missing value, an empty text, and one of `MISSING_WORDS`
    that no list of classes names. So has -1 where it is the only negative code.

    Args:
        values: Class indices into `names`, or class names or codes if that is None.
        names: The file's own class names, or None.
        classes: The classes wanted, in order: each a value, or (new name, (values to merge));
            None: the file's own.
        others: What of objects in other classes: "error", "drop" or "unlabelled" (label -1).
        where: What to call the file in messages.
        may_lack: Whether the file may lack some of `classes`.

    Returns:
        Labels [n], class names, and the positions to keep [m].

    Raises:
        UserError: A class that is not in the file, or an object of no class with "error".
    """
    if values.ndim != 1:
        raise UserError(f"{where}: a label has shape {values.shape[1:]}; it has to be one value")
    groups = None if classes is None else [_group(c) for c in classes]
    if names is not None:
        text, there = _names_of(values, names, where), [str(n) for n in names]
    else:
        text, there = _text(values, _named(groups), where)
    if groups is None:
        groups = [(name, (name,)) for name in there]
    labels = np.full(len(text), -1, np.int64)
    for index, (_, members) in enumerate(groups):
        for member in members:
            if not may_lack:
                validate.key(member, there, f"{where}: the class list")
            labels[text == member] = index
    outside = (labels < 0) & (text != "")
    if outside.any() and others == "error":
        left = ", ".join(np.unique(text[outside])[:5])
        raise UserError(
            f"{where}: {outside.sum()} objects are outside the class list ({left}); "
            'set data.others to "drop" or "unlabelled"'
        )
    kept = np.flatnonzero(~outside) if others == "drop" else np.arange(len(text))
    return labels, tuple(name for name, _ in groups), kept


class Encoder:
    """Encodes the labels of files that are splits of one data set, so that indices mean the same.

    Args:
        classes: As in `encode_labels`; None: those of the first file, which hold for the others.
        others: As in `encode_labels`.
    """

    def __init__(self, classes: Classes | None, others: Others):
        self.classes, self.others = classes, others
        self.first: tuple[str, ...] | None = None

    def __call__(
        self, values: Shaped[np.ndarray, " n"], names: tuple[str, ...] | None, where: str
    ) -> tuple[Int[np.ndarray, " n"], tuple[str, ...], Int[np.ndarray, " m"]]:
        """Returns what `encode_labels` returns, for one file."""
        labels, found, kept = encode_labels(
            values,
            names=names,
            classes=self.classes or self.first,
            others=self.others,
            where=where,
            may_lack=self.classes is None and self.first is not None,
        )
        self.first = self.first or found
        left = len(values) - len(kept)
        if left:
            logging.info("%s: %d objects of other classes are left out", where, left)
        return labels, found, kept


def indices(values: Shaped[np.ndarray, " n"]) -> Int[np.ndarray, " n"] | None:
    """Returns labels that are class indices already, -1 where missing; None if they are names."""
    missing, plain = missing_values(values), np.ma.getdata(values)
    if plain.dtype.kind not in "iuf" or (plain[~missing] != np.floor(plain[~missing])).any():
        return None
    return np.where(missing, -1, np.where(missing, 0, plain).astype(np.int64))


def _group(wanted: object) -> tuple[str, tuple[str, ...]]:
    if isinstance(wanted, tuple):
        return str(wanted[0]), tuple(map(str, wanted[1]))
    return str(wanted), (str(wanted),)


def _named(groups: list[tuple[str, tuple[str, ...]]] | None) -> set[str]:
    return set() if groups is None else {member for _, members in groups for member in members}


def _names_of(values: np.ndarray, names: tuple[str, ...], where: str) -> np.ndarray:
    """Returns the class name of each index; a file may have the names themselves instead."""
    found = indices(values)
    if found is None:
        text, there = _text(values, set(names), where)
        unknown = [name for name in there if name not in names]
        if unknown:
            raise UserError(f"{where}: labels {', '.join(unknown[:5])} are not in the class names")
        return text
    validate.class_labels(found, names, where)
    return np.where(found < 0, "", np.array(names)[found])


def _text(values: np.ndarray, named: set[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Returns labels as text, "" where missing, and the classes that there are, in order."""
    missing, plain = missing_values(values), np.ma.getdata(values)
    if plain.dtype.kind in "iuf":
        whole = indices(values)
        plain = plain if whole is None else whole
        if whole is not None:
            missing = missing | _is_no_label(whole, missing, named, where)
    known = np.unique(plain[~missing])  # numbers in their order, not in that of their digits
    text = np.where(missing, "", plain.astype(str))
    absent = [w for w in known.tolist() if w in MISSING_WORDS and w not in named]
    if absent:
        logging.info("%s: labels %s are taken as missing", where, ", ".join(map(repr, absent)))
        text = np.where(np.isin(text, absent), "", text)
        known = known[~np.isin(known, absent)]
    return text, [str(name) for name in known]


def _is_no_label(codes: np.ndarray, missing: np.ndarray, named: set[str], where: str) -> np.ndarray:
    negative = np.unique(codes[~missing & (codes < 0)])
    if negative.tolist() != [-1] or "-1" in named:
        return np.zeros(len(codes), bool)
    logging.info("%s: %d labels are -1: these objects have none", where, np.sum(codes == -1))
    return codes == -1
