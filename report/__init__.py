"""The report: pages that read parquet, and the modules that turn statistics into sentences."""
