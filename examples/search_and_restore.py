"""Restore the layers of a small model pair that cost it most diversity, and sample from the hybrid.

Any pair works: ``slr.load_pair("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct")`` takes one from the hub.
"""

import slr

pair = slr.load_pair("testbed-llama")
result = slr.search(pair)
choice = result.select()
print(f"layers {choice.interval}: {choice.reason}")

hybrid = slr.restore(pair, choice.interval)
[jokes] = slr.sample(hybrid, pair.tokenizer, ["Write a joke about rain."], num_samples=8)
print(*jokes, sep="\n")
print(slr.diversity(jokes))
