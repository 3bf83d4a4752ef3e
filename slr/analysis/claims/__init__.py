"""Claims: what the records say of each, by a criterion that was stated before the result was seen."""
