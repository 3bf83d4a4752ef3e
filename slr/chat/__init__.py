"""How requests become tokens, where answers end, and which files a tokenizer is made of."""
