"""List the REST calls that are one call of another service: which path, which fields from where.

The field names are those of the contracts, so the table is the whole translation.
"""

import re
from dataclasses import dataclass, field

_IN_PATH = re.compile(r"\{(\w+)\}")
_LONG_S = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call.

    Attributes:
        method: HTTP method.
        path: Below ``/api/v1``; parameters are named like the request's fields.
        service: Who answers.
        rpc: By which method.
        query: Fields that may stand in the query.
        body: Fields that may stand in the JSON body; others of the request are not the caller's to set.
        required: Those of them without which the body is refused.
        timeout_s: How long the answer may take.
    """

    method: str
    path: str
    service: str
    rpc: str
    query: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    timeout_s: float = 20.0
    parameters: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(_IN_PATH.findall(self.path)))


_PAGE = ("page_size", "page_token")

CALLS: tuple[Call, ...] = (
    Call("GET", "/uploads/{upload_id}", "ingestion", "GetUpload"),
    Call("POST", "/uploads/{upload_id}/preview", "ingestion", "PreviewUpload", body=("options",), timeout_s=_LONG_S),
    Call(
        "POST",
        "/uploads/{upload_id}/commit",
        "ingestion",
        "CommitUpload",
        body=("dataset", "options"),
        required=("dataset",),
        timeout_s=_LONG_S,
    ),
    Call("GET", "/datasets", "ingestion", "ListDatasets", query=_PAGE),
    Call("GET", "/dataset-versions/{version_id}", "ingestion", "GetVersion"),
    Call("GET", "/dataset-versions/{version_id}/profile", "ingestion", "GetProfile"),
    Call("GET", "/dataset-versions/{version_id}/rows", "ingestion", "ListRows", query=("offset", "limit")),
    Call("DELETE", "/dataset-versions/{version_id}", "ingestion", "DeleteVersion"),
    Call("GET", "/runs", "training", "ListRuns", query=_PAGE),
    Call("GET", "/runs/{run_id}", "training", "GetRun"),
    Call("POST", "/runs/{run_id}/stop", "training", "StopRun"),
    Call("POST", "/runs/{run_id}/resume", "training", "ResumeRun"),
    Call("GET", "/models", "registry", "ListModels"),
    Call("GET", "/models/{model}/versions/{release}", "registry", "GetVersion"),
    Call(
        "POST",
        "/models/{model}/imports",
        "registry",
        "ImportVersion",
        body=("request_id", "model_sha256", "golden_sha256", "golden_from", "source"),
        required=("request_id", "model_sha256"),
        timeout_s=_LONG_S,
    ),
    Call(
        "PUT",
        "/models/{model}/aliases/{alias}",
        "registry",
        "SetAlias",
        body=("digest", "expected_digest"),
        required=("digest",),
    ),
    Call("GET", "/segments", "rollout", "ListSegments"),
    Call("POST", "/segments", "rollout", "CreateSegment", body=("name", "approvals"), required=("name",)),
    Call("GET", "/gateways", "rollout", "ListGateways", query=("segment",)),
    Call(
        "POST",
        "/gateways",
        "rollout",
        "CreateGateway",
        body=("name", "segment", "accept"),
        required=("name", "segment"),
    ),
    Call("GET", "/gateways/{gateway_id}", "rollout", "GetGateway"),
    Call("POST", "/gateways/{gateway_id}/revoke", "rollout", "RevokeGateway", body=("reason",)),
    Call(
        "POST",
        "/rollouts/plan",
        "rollout",
        "PlanRollout",
        body=("plan", "requests_per_second", "error_rate"),
        required=("plan",),
    ),
    Call("POST", "/rollouts", "rollout", "CreateRollout", body=("rollout_id", "plan"), required=("rollout_id", "plan")),
    Call("GET", "/rollouts", "rollout", "ListRollouts", query=("model", *_PAGE)),
    Call("GET", "/rollouts/{rollout_id}", "rollout", "GetRollout"),
    Call("GET", "/rollouts/{rollout_id}/explain", "rollout", "ExplainRollout"),
    Call("POST", "/rollouts/{rollout_id}/pause", "rollout", "PauseRollout", body=("reason",)),
    Call("POST", "/rollouts/{rollout_id}/resume", "rollout", "ResumeRollout", body=("reason", "override")),
    Call("POST", "/rollouts/{rollout_id}/promote", "rollout", "PromoteRollout", body=("reason", "force")),
    Call("POST", "/rollouts/{rollout_id}/abort", "rollout", "AbortRollout", body=("reason", "revert")),
    Call("POST", "/rollouts/{rollout_id}/rollback", "rollout", "RollbackRollout", body=("reason",)),
    Call("POST", "/rollouts/{rollout_id}/cancel", "rollout", "CancelRollout"),
    Call("POST", "/rollouts/{rollout_id}/approve", "rollout", "ApproveRollout", body=("reject", "reason")),
)
