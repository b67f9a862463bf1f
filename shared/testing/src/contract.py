"""Hooks of schemathesis. JSON Schema takes 46.0 for an integer, serde does not: bodies have 46 in its place."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    return integers(body)


def integers(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [integers(item) for item in value]
    if isinstance(value, dict):
        return {name: integers(item) for name, item in value.items()}
    return value
