"""What both sides of REST must agree on beyond the frames: where the list is, how it reads, old names of refusals.

`gateway.rest` serves it. The documented paths of the original plan answer refusals with its error body, made here.
"""

from typing import Any, Final

import msgspec

from genescale.protocol.frames import AnalysisState

ANALYSES_PATH: Final = "/api/v1/analyses"


class ListedAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """As much of one analysis in the list as a client needs before it sends a cid again."""

    analysis_id: str
    cid: str
    state: str
    result_url: str | None = None


class AnalysisList(msgspec.Struct, frozen=True, kw_only=True):
    """GET /api/v1/analyses?cid=..., newest first."""

    analyses: list[ListedAnalysis]

    def states(self) -> list[AnalysisState]:
        """The same as a snapshot says it."""
        return [
            AnalysisState(cid=one.cid, analysis_id=one.analysis_id, state=one.state, result_url=one.result_url)
            for one in self.analyses
        ]


# What the original documents call it; every other code is only written in capitals.
_SEED_CODES: Final = {
    "not_found": "SESSION_NOT_FOUND",
    "unavailable": "KAFKA_CONNECTION_ERROR",
    "too_slow": "PROCESSING_TIMEOUT",
    "analysis_failed": "VEP_API_ERROR",
    "rate": "SCALING_LIMIT_REACHED",
}


def seed_error(code: str, message: str, *, status: int, timestamp: str, request_id: str) -> dict[str, Any]:
    """A refusal as the original plan words it. `code` is the one of the problem document."""
    return {
        "error": {
            "code": _SEED_CODES.get(code.lower(), code.upper()),
            "message": message,
            "details": {"status": status},
            "timestamp": timestamp,
            "request_id": request_id,
        }
    }
