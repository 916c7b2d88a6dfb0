"""Prometheus' protobuf format, in which histograms are native: all our buckets, and no classic ones to choose.

Prometheus asks for it where native histograms are switched on. The messages are those of `io.prometheus.client`
(github.com/prometheus/client_model, metrics.proto), each family behind its length as a varint. Only the fields that are
written stand here.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from prometheus_client.core import Metric as Family

from tidegate.core.series.latency_histogram import BOUNDS, FIRST_INDEX, SCALE, Histogram

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

NativeHistogram = tuple[Histogram, float]
"""A histogram of `core/series/latency_histogram.py`, and the sum of what it counts."""
Natives = Mapping[str, Mapping[tuple[str, ...], NativeHistogram]]
"""Family → the values of its labels → the native histogram that stands beside its classic buckets."""

_PACKAGE = "tidegate.prometheus"
_TYPES = {"counter": 0, "gauge": 1, "histogram": 4}
# Field: name, number, type, and the message's name where it is one. A star: repeated.
_MESSAGES: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    "LabelPair": (("name", 1, "string"), ("value", 2, "string")),
    "Value": (("value", 1, "double"),),
    "BucketSpan": (("offset", 1, "sint32"), ("length", 2, "uint32")),
    "Bucket": (("cumulative_count", 1, "uint64"), ("upper_bound", 2, "double")),
    "Histogram": (
        ("sample_count", 1, "uint64"),
        ("sample_sum", 2, "double"),
        ("bucket", 3, "*Bucket"),
        ("schema", 5, "sint32"),
        ("zero_threshold", 6, "double"),
        ("zero_count", 7, "uint64"),
        ("positive_span", 12, "*BucketSpan"),
        ("positive_delta", 13, "*sint64"),
    ),
    "Metric": (
        ("label", 1, "*LabelPair"),
        ("gauge", 2, "Value"),
        ("counter", 3, "Value"),
        ("histogram", 7, "Histogram"),
    ),
    "MetricFamily": (("name", 1, "string"), ("help", 2, "string"), ("type", 3, "int32"), ("metric", 4, "*Metric")),
}


def accepts(accept: str) -> bool:
    """Whether an Accept header asks for this format before any text, as Prometheus does."""
    first = accept.split(",", 1)[0].replace(" ", "").lower()
    return first.startswith("application/vnd.google.protobuf") and "proto=io.prometheus.client.metricfamily" in first


def protobuf(families: Iterable[Family], natives: Natives) -> bytes:
    """The families, each behind its length; histograms have native buckets where `natives` has them."""
    parts = []
    for family in families:
        message = _family(family, natives.get(family.name, {}))
        if message is not None:
            body = message.SerializeToString()
            parts += [_varint(len(body)), body]
    return b"".join(parts)


# --- messages


def _build() -> Mapping[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tidegate/metrics.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for label, number, kind in fields:
            repeated, kind = kind.startswith("*"), kind.lstrip("*")
            made = message.field.add(name=label, number=number)
            made.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in _MESSAGES:
                made.type, made.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                made.type = field.Type.Value(f"TYPE_{kind.upper()}")
                if repeated:
                    made.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES = _build()


def _family(family: Family, natives: Mapping[tuple[str, ...], NativeHistogram]) -> Any:
    """The message of a family; None where it has no values."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    message = _CLASSES["MetricFamily"](name=name, help=family.documentation, type=_TYPES[family.type])
    if family.type == "histogram":
        _histograms(message, family, natives)
    else:
        for sample in family.samples:
            metric = message.metric.add()
            _label(metric, sample.labels)
            getattr(metric, family.type).value = sample.value
    return message if message.metric else None


def _histograms(message: Any, family: Family, natives: Mapping[tuple[str, ...], NativeHistogram]) -> None:
    of: dict[tuple[str, ...], Any] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        key = tuple(labels.values())
        if key not in of:
            of[key] = message.metric.add()
            _label(of[key], labels)
            if key in natives:
                _native(of[key].histogram, natives[key][0])
        histogram = of[key].histogram
        if sample.name.endswith("_sum"):
            histogram.sample_sum = sample.value
        elif sample.name.endswith("_count"):
            histogram.sample_count = int(sample.value)
        else:
            histogram.bucket.add(cumulative_count=int(sample.value), upper_bound=float(sample.labels["le"]))


def _native(message: Any, histogram: Histogram) -> None:
    """Our buckets: the first holds what is too short to tell apart, as their zero bucket does."""
    message.schema, message.zero_threshold, message.zero_count = SCALE, BOUNDS[0], histogram.get(0, 0)
    before, expected = 0, None
    for bucket in sorted(histogram):
        if bucket == 0:
            continue
        index = bucket + FIRST_INDEX
        if index != expected:
            message.positive_span.add(offset=index if expected is None else index - expected, length=0)
        message.positive_span[-1].length += 1
        message.positive_delta.append(histogram[bucket] - before)
        before, expected = histogram[bucket], index + 1
    if not message.positive_span:
        message.positive_span.add(offset=0, length=0)  # without any span it would be read as a classic histogram


def _label(metric: Any, labels: Mapping[str, str]) -> None:
    for name, value in labels.items():
        metric.label.add(name=name, value=value)


def _varint(number: int) -> bytes:
    return bytes(_groups(number))


def _groups(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number
