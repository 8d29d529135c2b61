"""An analysis as JSON: the facts of the request, and the result word for word."""

from typing import Any

import msgspec

from genescale.gateway.export_analysis import LIMITS, RESEARCH_USE, Analysis

FORMAT = "genescale.analysis/1"


def to_json(analysis: Analysis) -> bytes:
    """One object: `format`, `research_use`, `limits`, `analysis`, `result`. What is not known is left out."""
    facts = {name: getattr(analysis, name) for name in analysis.__struct_fields__ if name != "result"}
    whole: dict[str, Any] = {
        "format": FORMAT,
        "research_use": RESEARCH_USE,
        "limits": list(LIMITS),
        "analysis": {name: value for name, value in facts.items() if value is not None},
        "result": analysis.result,
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
