"""Reads access lines from standard input, and builds each again with AWS's library for the embedded metric format, which
checks every name, unit and value: both documents must say the same."""

import json
import sys

from aws_embedded_metrics.logger.metrics_context import MetricsContext
from aws_embedded_metrics.serializers.log_serializer import LogSerializer
from aws_embedded_metrics.validator import validate_namespace

count = 0
for text in sys.stdin:
    line = json.loads(text)
    metadata = line.pop("_aws")
    [directive] = metadata["CloudWatchMetrics"]
    [dimensions] = directive["Dimensions"]
    validate_namespace(directive["Namespace"])
    context = MetricsContext(directive["Namespace"])
    context.meta["Timestamp"] = metadata["Timestamp"]
    context.put_dimensions({name: line[name] for name in dimensions})
    for metric in directive["Metrics"]:
        context.put_metric(metric["Name"], line.pop(metric["Name"]), metric["Unit"])
    for name, value in line.items():
        context.set_property(name, value)
    [again] = LogSerializer.serialize(context)
    assert json.loads(again) == json.loads(text), f"{text}\n{again}"
    count += 1
print(count)
