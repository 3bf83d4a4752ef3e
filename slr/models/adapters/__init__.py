"""LoRA adapters as the post-trained side of a pair: read, checked against the base model, and merged by peft."""
