"""Kernels that numba compiles. Only modules that do without them too import these, as they run."""
