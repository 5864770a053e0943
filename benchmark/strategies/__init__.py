"""The strategies that are compared, one module a factor."""
