"""``disentangle directions``: finds the sub-command and runs it."""

import importlib
import sys
from collections.abc import Sequence

from disentangle.errors import unknown_name

# name -> (module, what it does); imported on demand: `--help` must not wait for torch.
COMMANDS = {
    "list": ("disentangle.apps.directions.table", "what is known of each direction of a run or a file"),
    "match": ("disentangle.apps.directions.match", "which directions of two files are the same, and by how much"),
    "merge": ("disentangle.apps.directions.merge", "put several files into one, without what they have twice"),
    "name": ("disentangle.apps.directions.name", "give a direction a name and a note"),
    "export": ("disentangle.apps.directions.export", "write a file for other tools: csv, json, npz or npy"),
    "import": ("disentangle.apps.directions.adopt", "take in directions from elsewhere: npy, npz, or a direction file"),
}

HELP = f"""usage: disentangle directions COMMAND [OPTIONS]

Look at direction files, compare, merge, name and exchange them. A file is named by its path, or by the run that has it
(with --directions NAME, if the run has several).

commands:
{chr(10).join(f"  {name:<8} {summary}" for name, (_, summary) in COMMANDS.items())}

examples:
  disentangle directions list runs/fashion
  disentangle directions match runs/fashion runs/fashion-nog
  disentangle directions name runs/fashion 3 "sleeves" --note "longer to the right"
  disentangle directions export runs/fashion --to npy --out sleeves.npy
"""


def main(argv: Sequence[str]) -> None:
    """Run the command."""
    if not argv or argv[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return
    if argv[0] not in COMMANDS:
        raise unknown_name("directions command", argv[0], COMMANDS)
    importlib.import_module(COMMANDS[argv[0]][0]).main(list(argv[1:]))
