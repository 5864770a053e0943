"""``python -m benchmark``: what there is to choose from, how studies stand, and what runs did."""

import sys
from collections.abc import Sequence

from benchmark.diagnosis.commandline import add_diagnose
from benchmark.terminal import answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that is named on the command line; returns the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["diagnose"]:
        # the only one that needs no torch, whose import takes seconds
        return answer([add_diagnose], given)
    from benchmark.driver import inspecting

    return inspecting.main(given)


if __name__ == "__main__":
    sys.exit(main())
