"""Steps of K trials of one shape together, and the ways in which a device takes them."""
