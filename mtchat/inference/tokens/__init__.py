"""Text and token ids: a model's tokenizer, made from its own table, and its chat template."""
