"""Write what versions did in the protocol's words, for both faces."""

from collections.abc import Iterable
from typing import Any

from onecode_serving.execution.statistics import SPANS, Span, VersionStatistics


def statistics_document(found: Iterable[VersionStatistics]) -> dict[str, Any]:
    """Return ``{"model_stats": […]}`` with the field names of ``ModelStatisticsResponse``.

    Times are nanoseconds, the last inference Unix milliseconds. ``inference_count`` counts rows, ``execution_count``
    runs, ``success`` and ``fail`` requests; the sizes of ``batch_stats`` are rows of a run.
    """
    return {"model_stats": [_version(one) for one in found]}


def _version(one: VersionStatistics) -> dict[str, Any]:
    return {
        "name": one.model,
        "version": one.version,
        "last_inference": one.last_inference_ms,
        "inference_count": one.inference_count,
        "execution_count": one.execution_count,
        "inference_stats": {name: _span(getattr(one, name)) for name in SPANS},
        "batch_stats": [
            {
                "batch_size": batch.size,
                "compute_input": _span(batch.compute_input),
                "compute_infer": _span(batch.compute_infer),
                "compute_output": _span(batch.compute_output),
            }
            for batch in one.batches
        ],
        "memory_usage": [{"type": "CPU", "id": 0, "byte_size": one.memory_bytes}] if one.memory_bytes else [],
        "response_stats": {},
    }


def _span(span: Span) -> dict[str, int]:
    count, ns = span
    return {"count": count, "ns": ns}
