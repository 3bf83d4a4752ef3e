"""Two real language models that need no model hub: they come inside packages of the Python registry.

SmolLM2-135M-Instruct (a Llama architecture) and gemma-3-270m are the *start* models, which stand for the
base models of their pairs. The post-trained models are start models plus what ``weights`` holds: an adapter, or
differences of all decoder layers.
"""
