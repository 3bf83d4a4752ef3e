"""The downstream tasks: their prompts, and the rules that read and check answers."""
