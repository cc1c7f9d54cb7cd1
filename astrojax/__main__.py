# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax COMMAND`, the same as `astrojax COMMAND`."""

from astrojax.cli import main

if __name__ == "__main__":
    main()
