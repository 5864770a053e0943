"""Passes of K networks at once: forward, backward, and what every layer does in them."""
