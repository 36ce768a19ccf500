"""Verify, fetch and stage what a signed policy names: the only way by which a model comes to a machine that serves."""
