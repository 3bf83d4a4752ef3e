"""What the search, a build and sampling cost, measured on models with random weights."""
