"""Measure the model server against raw onnxruntime and a bare ``grpc.aio`` handler: ``python -m bench.serving``."""
