"""The rules of training: values and pure functions."""
