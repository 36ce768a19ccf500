"""The Open Inference Protocol as gRPC and as REST, both thin over one data plane."""
