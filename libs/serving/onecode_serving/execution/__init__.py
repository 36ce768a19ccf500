"""Run what waits: batches without a timer, each model at its price, nothing after its deadline."""
