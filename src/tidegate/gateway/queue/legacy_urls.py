"""The scoring URLs of the older products. They name a registered model, and a stage or version of it."""

from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from tidegate.core.endpoint.legacy_face import Face, Product
from tidegate.core.errors import NotFound

_PRODUCTS = {b"model-endpoint": Product.SERVERLESS, b"model": Product.CLASSIC}
PREFIXES = tuple(b"/%b/" % name for name in _PRODUCTS)

# The path by which a model is enabled, and what is served then.
_WAYS = {
    Product.SERVERLESS: ("endpoints-v2", "its versions in Staging and Production"),
    Product.CLASSIC: ("endpoints", "all its versions that are not archived"),
}
# A sentence repeats this many characters of a caller's words at most.
_SHOWN = 80


def parse(path: bytes) -> tuple[Face, str] | None:
    """Face, and stage or version, of an older product's scoring path; None for another path. Raises NotFound.

    The path is split before it is decoded, as a model's name may have any character, `%2F` included.
    """
    parts = path.split(b"/")
    product = _PRODUCTS.get(parts[1])
    if product is None:
        return None
    try:
        _, where, model, asked, _ = [unquote_to_bytes(part).decode() for part in parts]
    except ValueError:  # too many parts, or not UTF-8
        where = parts[1].decode()
        sentence = f"There is nothing at this path. Score at /{where}/<model>/<version or stage>/invocations"
        raise NotFound(f"{sentence}, each part percent-encoded.") from None
    return Face(product, model), asked


def mark(face: Face) -> bytes:
    """The metadata that tells a replica of the product. It stands before the rest of a request's metadata."""
    return b"surface=%b\n" % face.product.encode()


def not_served(face: Face, asked: str, keys: Iterable[str]) -> NotFound:
    """The error for a stage or version that is not served. `keys` are those that are; none where it is not enabled."""
    name, known = face.model[:_SHOWN], ", ".join(sorted(keys))
    path, what = _WAYS[face.product]
    if known:
        return NotFound(f"Model '{name}' is served as {known}; not as '{asked[:_SHOWN]}'. Served are {what}.")
    enable = f"POST /api/2.0/preview/mlflow/{path}/enable"
    why = "it is not enabled, or has no such version"
    return NotFound(f"Model '{name}' is not served under this URL: {why}. {enable} serves {what}.")
