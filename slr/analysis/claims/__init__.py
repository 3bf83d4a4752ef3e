"""Claims: what the records say of each, by a stated criterion."""
