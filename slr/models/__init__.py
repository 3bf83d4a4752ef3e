"""Models and pairs: how they are named, opened, compared and loaded, and where their tensors are."""
