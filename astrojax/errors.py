# SPDX-License-Identifier: Apache-2.0
"""The one exception for what a user can mend."""


class UserError(ValueError):
    """A user's mistake, told in one sentence that names the thing and the remedy.

    The command line prints the sentence without a traceback and exits with status 2.
    """
