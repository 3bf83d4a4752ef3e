"""The downstream experiments: what base, instruct and restored models write, answer and work out."""
