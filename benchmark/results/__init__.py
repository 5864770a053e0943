"""The results of studies: files that are whole or not there, folders, and what was run."""

from benchmark.parquet import DamagedFile, ResultsError, read, write
from benchmark.results.finding import find_study, is_study, load_study, studies_in
from benchmark.results.folder import StudyFolder
from benchmark.results.sharing import clash, earlier_studies
from benchmark.results.tables import Results

__all__ = [
    "DamagedFile",
    "Results",
    "ResultsError",
    "StudyFolder",
    "clash",
    "earlier_studies",
    "find_study",
    "is_study",
    "load_study",
    "read",
    "studies_in",
    "write",
]
