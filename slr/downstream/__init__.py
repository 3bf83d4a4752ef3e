"""Downstream experiments: what base, instruct, hybrid and soup write and answer."""
