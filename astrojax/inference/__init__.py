# SPDX-License-Identifier: Apache-2.0
"""What the commands `astrojax embed`, `predict`, `similar` and `anomalies` share.

A model (`model.py`) and a data set (`door.py`) give batches of results (`stream.py`, with the
flags of `flags.py`), named columns with units (`fields.py`), part files (`parts.py`), and in the
end one table (`tables.py`), which the other commands search and show (`lookup.py`, `sheets.py`).
"""
