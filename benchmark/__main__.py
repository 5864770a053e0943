"""``python -m benchmark``: what there is to choose from, how studies stand, and what runs did."""

import sys
from collections.abc import Sequence

from benchmark.commands.diagnosing import add_diagnose
from benchmark.commands.launching import add_report, add_run
from benchmark.commands.listing import add_list
from benchmark.commands.progress import add_status
from benchmark.commands.verifying import add_verify
from benchmark.terminal import answer, show_notes

COMMANDS = (add_run, add_report, add_list, add_status, add_verify, add_diagnose)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that is named on the command line; returns the exit status."""
    show_notes()
    return answer(COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
