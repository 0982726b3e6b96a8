"""What it takes to make a cube again, as its attributes."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

from ilrs_science import references, registry
from ilrs_science.engine.plan import Plan


def provenance(made: Plan) -> dict[str, Any]:
    """Return the attributes of a cube: conventions, and, as text, what it takes to make it again."""
    distribution, number = registry.distribution_of("instruments", made.instrument.name)
    made_by = {
        "pipeline": made.pipeline.model_dump(mode="json", exclude={"output"}),
        "plugin": {"name": made.instrument.name, "distribution": distribution, "version": number},
        "code": made.parts[0].code if made.parts else "",
        "steps": [{"name": s.name, "parameters": dict(s.parameters)} for s in made.steps],
        "references": [references.describe(one) for one in made.references()],
        "inputs": "records/*.json: every granule with its digest",
        "versions": {name: version(name) for name in ("ilrs-science", "numpy", "xarray", "zarr")},
    }
    product = made.instrument.product
    return {
        "Conventions": "CF-1.11",
        "title": product.about or made.pipeline.name,
        "product": made.pipeline.name,
        "instrument": made.instrument.name,
        "institution": ", ".join(made.instrument.partners) or "unknown",
        "time_scale": "TAI",
        **product.attributes,
        "provenance": json.dumps(made_by, sort_keys=True),
    }
