"""``python -m disentangle.apps.tether COMMAND …``: a ``disentangle`` command that ends with what started it.

Its standard input is a pipe of which only that process holds the other end. The system closes it when the process ends,
however it ends, so that nobody has to be told to stop. Run folders are valid after an end at any moment.
"""

import os
import threading

from disentangle.apps import cli


def main() -> None:
    """Run the command in ``sys.argv``."""
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    cli.main()


def _end_with_the_pipe() -> None:
    # Not sys.stdin, whose lock a sleeping thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
