"""Tell what a file is before anything parses it, so that nobody wonders why their pickle was refused."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from onecode_common.errors import InvalidError

_BY_SUFFIX: Mapping[str, tuple[str, str]] = {
    ".pkl": ("a pickle", "convert it with skl2onnx or onnxmltools"),
    ".pickle": ("a pickle", "convert it with skl2onnx or onnxmltools"),
    ".joblib": ("a joblib file", "convert it with skl2onnx or onnxmltools"),
    ".pt": ("a PyTorch file", "export it with torch.onnx.export(…, dynamo=True, external_data=False)"),
    ".pth": ("a PyTorch file", "export it with torch.onnx.export(…, dynamo=True, external_data=False)"),
    ".ckpt": ("a checkpoint", "export it with torch.onnx.export(…, dynamo=True, external_data=False)"),
    ".safetensors": ("weights without a graph", "export the whole model to ONNX"),
    ".h5": ("a Keras file", "convert it with tf2onnx"),
    ".hdf5": ("a Keras file", "convert it with tf2onnx"),
    ".keras": ("a Keras file", "convert it with tf2onnx"),
    ".pb": ("a TensorFlow graph", "convert it with tf2onnx"),
    ".tflite": ("a TFLite file", "convert it with tf2onnx"),
    ".npz": ("a numpy archive", "export the whole model to ONNX"),
    ".npy": ("a numpy array", "export the whole model to ONNX"),
    ".json": ("JSON", "convert the booster with onnxmltools"),
    ".ubj": ("a booster file", "convert it with onnxmltools"),
    ".cbm": ("a CatBoost file", "save it with format='onnx'"),
    ".pmml": ("PMML", "convert the original model to ONNX"),
    ".zip": ("an archive", "send the one .onnx file in it"),
    ".tar": ("an archive", "send the one .onnx file in it"),
    ".gz": ("compressed", "send the .onnx file as it is"),
}

_BY_HEAD: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "gzip"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"\x93NUMPY", "a numpy array"),
    (b"ORTM", "a model in ONNX Runtime's own format"),
    (b"{", "JSON"),
    (b"<", "HTML or XML"),
    (b"%PDF", "a PDF"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)


def require_accepted_name(source: str) -> None:
    """Refuse a file whose name says that it is a model in another format.

    Raises:
        InvalidError: ``model.format_not_accepted``, with the way to convert it.
    """
    found = _BY_SUFFIX.get(PurePosixPath(source.lower()).suffix)
    if found is not None:
        what, hint = found
        message = f"{source[:120]!r} is {what}: only ONNX files are accepted"
        raise InvalidError(message, code="model.format_not_accepted", hint=hint, params={"source": source[:120]})


def require_onnx_head(head: bytes) -> None:
    """Refuse bytes that begin like something else; what passes may still be no ONNX.

    Raises:
        InvalidError: ``model.not_onnx``.
    """
    what = "empty" if not head else next((name for magic, name in _BY_HEAD if head.startswith(magic)), "")
    # A field tag of protobuf comes first: ir_version (8) in files of all known writers.
    if what:
        message = f"the file is not ONNX: it is {what}"
        raise InvalidError(message, code="model.not_onnx", params={"found": what})
