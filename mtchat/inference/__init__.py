"""Local inference: loads a model, prefills and decodes with a prefix cache, samples, and streams text."""
