"""CRC: one random character from a stated set, and the search for the interval of layers by it."""
