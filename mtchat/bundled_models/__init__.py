"""The bundled models (starter, starter-small): downloads, verifies and caches them."""
