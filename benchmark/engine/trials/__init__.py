"""Trials before they are trained: made explicit, given a budget, and put together."""
