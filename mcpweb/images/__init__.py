"""Images of our own, put together without a builder and, where there is none, without a registry."""
