"""A study of seconds, run as users run theirs: `python tests/tiny.py --results DIR`."""

import sys

from conftest import TOY

from benchmark import Study
from benchmark.driver.commandline import run


def study(scale: str) -> Study:
    """At the scale ``full`` a test on a slow machine still meets it before its end."""
    return Study(
        name="tiny",
        question="Does it survive?",
        factors={
            "dataset": TOY,
            "clipping": ("none", "value", "global_norm"),
            "normalization": ("none", "layer", "group"),
            "schedule": ("constant", "cosine"),
            "learning_rate": (0.05, 1e4),
            "batch_size": 16,
            "epochs": 20 if scale == "full" else 2,
        },
        seeds=(0, 1),
        checkpoints=4,
        layers=True,
    )


if __name__ == "__main__":
    sys.exit(run(study))
