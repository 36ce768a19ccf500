"""Training runs: a data-set version and a recipe become one proven ONNX file within a measured budget."""
