"""Post-train the laptop's models: supervised on the start model's own answers, then by preference for the typical.

The recipe was fixed before any hybrid of these models was scored. It reads no prompt of an experiment: see
``prompts`` for what is trained on, ``recipe`` for every number, and ``collapse`` for when it stops.
"""
