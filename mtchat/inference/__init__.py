"""The local model: loads weights, decodes with a prefix cache, samples, and gives text piece by piece."""
