"""What a person at a terminal sees: errors in one line, progress, safe text, and how a command stops."""
