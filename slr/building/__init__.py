"""Write a hybrid to disk, as a checkpoint or as an adapter, with a manifest and a model card."""
