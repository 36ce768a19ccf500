"""Decide who may ask for predictions, of which models and how often; the same for every face."""
