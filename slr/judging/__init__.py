"""Judgements by a language model behind a chat endpoint: scores of texts, and answers that rules do not recognise."""
