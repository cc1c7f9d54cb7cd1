# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.main --config FILE`: `astrojax train` under its first name."""

from astrojax.cli.train import main

if __name__ == "__main__":
    main()
