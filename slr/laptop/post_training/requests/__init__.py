"""What the laptop's models are post-trained on, and the programs that judge answers to it."""
