"""``python -m benchmark``: what there is to choose from, and how far studies have got."""

import sys

from benchmark.driver.inspecting import main

if __name__ == "__main__":
    sys.exit(main())
