"""The Open Inference Protocol over gRPC, as messages and meanings; whoever carries the bytes lives elsewhere."""
