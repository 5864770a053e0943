"""The report: pages that read parquet, and the modules that turn statistics into sentences."""

import pandas as pd

# Pages pick rows of columns of words thousands of times, which takes pandas half as long where
# these hold Python's strings.
pd.set_option("mode.string_storage", "python")
