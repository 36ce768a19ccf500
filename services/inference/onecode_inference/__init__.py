"""The cloud's model server: it follows the signed policy."""
