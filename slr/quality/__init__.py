"""What diversity costs: quality of samples and of models."""
