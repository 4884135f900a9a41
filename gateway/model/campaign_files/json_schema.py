"""The JSON Schema of campaigns.yaml, for editors. It cannot check conditions, links and time zones; `gateway rules check` does."""

from __future__ import annotations

from gateway.model.campaign_files.file_fields import BANNER, CAMPAIGN, EXAMPLE, IMAGE, PLACEMENT, PRODUCTS, RULESET, Schema, object_schema


def json_schema() -> Schema:
    """The schema, in JSON Schema 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Placements and campaigns of the personalization gateway",
        **object_schema(RULESET),
        "$defs": {
            "image": object_schema(IMAGE),
            "products": object_schema(PRODUCTS),
            "banner": object_schema(BANNER),
            "bannerOrNone": {"anyOf": [{"const": "none"}, {"$ref": "#/$defs/banner"}]},
            "placement": object_schema(PLACEMENT),
            "campaign": object_schema(CAMPAIGN),
            "example": object_schema(EXAMPLE),
        },
    }
