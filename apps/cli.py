"""The ``disentangle`` command: finds the sub-command, runs it, and turns bad input into one line and exit code 2."""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from disentangle import __version__
from disentangle.errors import UserError, unknown_name

# name -> (module, what it does). Modules are imported on demand: `disentangle --help` must not wait for torch.
COMMANDS = {
    "demo": ("disentangle.apps.demo", "train, score and open a small generator, in under five minutes"),
    "train": ("disentangle.apps.train", "train a recipe, or go on with a run that was stopped"),
    "evaluate": ("disentangle.apps.evaluate", "score a run, a generator or a classifier: a report with pictures"),
    "encode": (
        "disentangle.apps.encode",
        "train an encoder for a GAN or a diffusion model, so that its codes get scores",
    ),
    "compare": ("disentangle.apps.compare", "put runs side by side: mean and spread over seeds, a table and a picture"),
    "sweep": ("disentangle.apps.sweep", "train a recipe with several treatments and seeds, and compare the runs"),
    "import": ("disentangle.apps.adopt", "make a run of a published diffusion pipeline's folder"),
    "discover": ("disentangle.apps.discover", "find latent directions of a run and draw what they do"),
    "render": ("disentangle.apps.render", "draw moved pictures of a run: one, strips, grids, GIFs and videos"),
    "directions": ("disentangle.apps.directions.command", "list, match, merge, name, export and import directions"),
    "invert": ("disentangle.apps.invert", "find the latents of real pictures, to edit these"),
    "app": ("disentangle.apps.traverse.launch", "open the web app: one slider a direction"),
    "data": ("disentangle.apps.data", "list the data sets, draw a preview, or download one"),
    "list": ("disentangle.apps.list", "list the recipes"),
}

REFUSED = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""What the system answers because of the path that was given, or of the disk: no fault of the program's."""

HELP = f"""usage: disentangle COMMAND [OPTIONS]

Train generators whose latents mean something, score them, and steer them in the browser.

commands:
{chr(10).join(f"  {name:<10} {summary}" for name, (_, summary) in COMMANDS.items())}

options:
  -h, --help    show this help; `disentangle COMMAND --help` shows a command's
  --version     show the version

example:
  disentangle train sprites-eigengan-nog --steps 2000 --seed 1
"""


def run(argv: Sequence[str]) -> None:
    """Run the command in ``argv``; raises :class:`UserError` on bad input."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return
    if argv[0] == "--version":
        sys.stdout.write(f"disentangle {__version__}\n")
        return
    name = argv[0]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    importlib.import_module(COMMANDS[name][0]).main(list(argv[1:]))


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # torch quiets itself, but not before it is whole: interrupted on the way it tells of its caches.
    for noisy in ("httpx", "httpx2", "PIL", "matplotlib", "accelerate", "torch"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        run(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        _say(str(error))
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        name = str(error.filename or "")
        short = f"{name[:60]}…{name[-20:]}" if len(name) > 81 else name
        _say(f"the system refuses {short or 'a file'}: {error.strerror}; name another file or folder")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ndisentangle: interrupted\n")
        raise SystemExit(130) from None


def _say(error: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # of several processes one speaks
        sys.stderr.write(f"disentangle: error: {error}\n")
