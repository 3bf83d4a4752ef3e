"""Files: which names are safe, what may be read, and how a file is written whole."""
