"""What it takes to make a cube again, as its attributes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ilrs_science import references, registry
from ilrs_science.code import environment
from ilrs_science.model.record import Record
from ilrs_science.planning.planned import Plan


def provenance(made: Plan, done: Iterable[Record] = ()) -> dict[str, Any]:
    """Return the attributes of a cube: conventions, and, as text, what it takes to make it again."""
    distribution, number = registry.distribution_of("instruments", made.instrument.name)
    environments = {json.dumps(dict(one.environment), sort_keys=True) for one in done if one.environment}
    made_by = {
        "pipeline": made.pipeline.model_dump(mode="json", exclude={"output"}),
        "plugin": {"name": made.instrument.name, "distribution": distribution, "version": number},
        "code": dict(made.task.code),
        "plugin_code": made.task.plugin,
        "steps": [{"name": s.name, "parameters": dict(s.parameters), "at": dict(s.at)} for s in made.steps],
        "references": [*map(references.describe, made.references()), *made.absent],
        "series": sorted({one.instrument for one in made.granules_of_series}),
        "inputs": "records/: every granule with its digest",
        "environments": [json.loads(one) for one in sorted(environments)] or [environment()],
    }
    product = made.instrument.product
    return {
        "Conventions": "CF-1.11",
        "title": product.about or made.pipeline.name,
        "product": made.pipeline.name,
        "instrument": made.instrument.name,
        "institution": ", ".join(made.instrument.partners) or "unknown",
        "source": made.instrument.about or made.instrument.name,
        "history": f"made by ilrs-science from raw files by the pipeline {made.pipeline.name}",
        **product.attributes,
        "provenance": json.dumps(made_by, sort_keys=True),
    }
