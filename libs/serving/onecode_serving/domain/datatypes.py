"""Relate the three names of a datatype: the protocol's, numpy's and onnxruntime's."""

from collections.abc import Mapping

import numpy as np

BYTES = "BYTES"

NUMPY: Mapping[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<f4"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    BYTES: np.dtype(object),
}
"""Element type of arrays by protocol name; texts are Python strings in object arrays, BF16 is widened to 32 bits."""

FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})

PLAIN = frozenset(NUMPY) - {BYTES, "BOOL", "BF16"}
"""Datatypes whose raw bytes are those of the array, whatever they are."""

RANKED = PLAIN - {"FP16"}
"""Datatypes of outputs that can be answered with their top classes."""

BINARY_ONLY = frozenset({"FP16", "BF16"})
"""Datatypes without a typed form: they travel as raw bytes only."""

RUNTIME: Mapping[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": BYTES,
}
"""Protocol name by onnxruntime's; what is missing here (sequences, maps) is refused at load."""

CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""The typed field of the gRPC message by datatype; FP16 and BF16 have none."""
