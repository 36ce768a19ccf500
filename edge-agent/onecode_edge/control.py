"""Answer people and tools on this machine, whether the cloud is there or not."""

from collections.abc import Mapping
from typing import Any

from onecode_edge.agent import Agent
from onecode_edge.domain.modelset import to_document
from onecode_edge.unix_http import Answer


def control_routes(agent: Agent) -> Mapping[str, Answer]:
    """Return what the control socket answers."""

    def status(_: Mapping[str, Any]) -> Mapping[str, object]:
        return agent.describe()

    def models(_: Mapping[str, Any]) -> Mapping[str, object]:
        return {"models": to_document(agent.conductor.present()), "serving": agent.conductor.served()}

    def journal(query: Mapping[str, Any]) -> Mapping[str, object]:
        return {"lines": agent.journal.recent(int(query.get("after") or 0))}

    def sync(_: Mapping[str, Any]) -> Mapping[str, object]:
        agent.sync()
        return {}

    def selftest(_: Mapping[str, Any]) -> Mapping[str, object]:
        wrong, answered = agent.conductor.prove()
        return {"passed": not wrong, "detail": wrong, "answered": answered}

    def rollback(body: Mapping[str, Any]) -> Mapping[str, object]:
        return {"set": agent.conductor.roll_back(str(body.get("reason") or "by hand"))}

    return {
        "GET /v1/status": status,
        "GET /v1/models": models,
        "GET /v1/journal": journal,
        "POST /v1/sync": sync,
        "POST /v1/selftest": selftest,
        "POST /v1/rollback": rollback,
    }
