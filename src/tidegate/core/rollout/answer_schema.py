"""The schema of a version's answers: the JSON types at each place, and the differences between two schemas.

The schema has fields, and no data. An object counts as a map, whose keys are data, where no answer has all of its keys.
The length of a list belongs to the schema where it is always the same, as with embeddings; the list of the rows is an
exception.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from tidegate.core.rollout.comparison import PREDICTIONS

# An object with more keys than this counts as a map.
_MOST_FIELDS = 64
# A schema has about this many places at most: where it would have more, its largest objects count as maps. The second
# number applies while answers are still being added.
MOST_PLACES, _MOST_HELD = 200, 1000
# Values that are nested deeper are ignored. A key is cut after this many characters.
_DEEPEST, _LONGEST_KEY = 16, 80

Schema = Mapping[str, frozenset[str]]
"""The JSON types found at each place of an answer: `predictions[].score` → {"float"}. A list of always three items is
`array[3]`, any other an `array`; a key `*` stands for all keys of a map."""

_Path = tuple[str, ...]
_ITEM, _ANY = "[]", ".*"
_KINDS = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "object"}
_NUMBERS = frozenset({"integer", "float", "null", "boolean"})


class Sketch:
    """Collects the schema of the answers that are added."""

    def __init__(self) -> None:
        self._kinds: dict[_Path, set[str]] = {}
        self._keys: dict[
            _Path, tuple[set[str], int]
        ] = {}  # an object's keys in all answers, and the most in one answer
        self._large: set[_Path] = set()  # objects with so many keys that they are maps
        self._maps: set[_Path] | None = None  # computed when needed; None after an addition

    def add(self, answer: Any) -> None:
        """Add an answer."""
        self._maps = None
        self._add([answer], ())

    def schema(self) -> Schema:
        """The schema of all answers."""
        return _schema(self._kinds, self.maps())

    def beside(self, before: "Sketch") -> Schema:
        """The schema of all answers. Which objects are maps is taken from `before`, so that both can be compared."""
        schema = _schema(self._kinds, before.maps() | self._large)
        too_many = set(sorted(schema.keys() - before.schema().keys())[MOST_PLACES:])
        return {path: kinds for path, kinds in schema.items() if path not in too_many}

    def maps(self) -> set[_Path]:
        """The paths of all maps. In them the keys of outer maps are `*`."""
        if self._maps is None:
            self._maps = self._narrowed(self._maps_with(set(self._large)))
        return self._maps

    def _add(self, values: Sequence[Any], path: _Path) -> None:
        """Add the values of one place."""
        types = set(map(type, values))
        kinds = self._kinds.setdefault(path, set())
        kinds.update(_KINDS.get(kind, "null") for kind in types - {list})
        if list in types:
            lists = [value for value in values if type(value) is list]
            kinds.add(_array(path, set(map(len, lists))))
            items = list(chain.from_iterable(lists))
            if items and len(path) < _DEEPEST:
                self._add(items, (*path, _ITEM))
        if dict in types and len(path) < _DEEPEST:
            self._add_objects([value for value in values if type(value) is dict], path)

    def _add_objects(self, objects: Sequence[Mapping[str, Any]], path: _Path) -> None:
        keys, most = self._keys.setdefault(path, (set(), 0))
        if path not in self._large:
            keys.update(*objects)
            self._keys[path] = keys, max(most, max(map(len, objects)))
            if len(keys) > _MOST_FIELDS or len(self._kinds) + len(keys) > _MOST_HELD:
                self._large.add(path)
        columns = _columns(objects, is_map=path in self._large)
        for step, values in columns.items():
            self._add(values, (*path, step))

    def _narrowed(self, maps: set[_Path]) -> set[_Path]:
        """These maps, and as many of the largest objects as it takes to keep the number of places."""
        while len(places := {_folded(path, maps) for path in self._kinds}) > MOST_PLACES:
            width: dict[_Path, int] = defaultdict(int)
            for place in places:
                if place and place[-1] not in (_ITEM, _ANY):
                    width[place[:-1]] += 1
            if not width:
                break
            maps = self._maps_with(maps | {max(sorted(width), key=lambda path: width[path])})
        return maps

    def _maps_with(self, maps: set[_Path]) -> set[_Path]:
        """All maps, given that these are maps."""
        found = set[_Path]()
        for depth in range(_DEEPEST + 1):
            together: dict[_Path, tuple[set[str], int]] = {}
            for path, (keys, most) in self._keys.items():
                if len(path) == depth:
                    place = _folded(path, found)
                    others, largest = together.get(place, (set(), 0))
                    together[place] = others | keys, max(most, largest)
                    if path in maps or place in maps:
                        found.add(place)
            found |= {place for place, (keys, most) in together.items() if len(keys) > most}
        return found


def joined(one: Schema, other: Schema) -> Schema:
    """The union of two schemas."""
    return {
        path: _without_chance(one.get(path, frozenset()) | other.get(path, frozenset()))
        for path in one.keys() | other.keys()
    }


def loosened(schema: Schema) -> Schema:
    """The schema without the lengths of lists that hold other things than numbers: they may be equal by chance."""
    return {
        path: kinds if schema.get(path + _ITEM, _NUMBERS) <= _NUMBERS else frozenset(map(_any_length, kinds))
        for path, kinds in schema.items()
    }


def changes(before: Schema, after: Schema) -> list[str]:
    """The differences as phrases. Nulls are no difference of schemas."""
    return list(_changes(before, after))


def _changes(before: Schema, after: Schema) -> Iterator[str]:
    # One gateway may have seen that an object is a map, and another not.
    maps = tuple(path[:-1] for path in before if path.endswith(_ANY) or path == _ANY[1:])
    for path in sorted(before.keys() | after.keys()):
        if any(path.startswith(one) and not path.startswith(f"{one}*") for one in maps):
            continue
        was, now = (one.get(path, frozenset()) - {"null"} for one in (before, after))
        if path not in after:
            yield f"{path} is gone"
        elif path not in before:
            yield f"{path} is new ({_either(now)})" if now else f"{path} is new"
        elif was and not (now if "array" not in was else set(map(_any_length, now))) <= was:
            yield f"{path} is {_either(now)} instead of {_either(was)}"


# ---


def _columns(objects: Sequence[Mapping[str, Any]], *, is_map: bool) -> Mapping[str, Sequence[Any]]:
    """The values of all objects as columns, by the path's step to them."""
    if is_map:
        return {_ANY: [value for one in objects for value in one.values()]}
    if all(one.keys() == objects[0].keys() for one in objects):
        return {_step(key): [one[key] for one in objects] for key in objects[0]}
    columns = defaultdict[str, list[Any]](list)
    for one in objects:
        for key, value in one.items():
            columns[_step(key)].append(value)
    return columns


def _step(key: str) -> str:
    """The path's step to a key, as text: a schema is sent and stored, and half of a surrogate pair cannot be."""
    key = key[:_LONGEST_KEY]
    return f".{key if key.isascii() else key.encode(errors='replace').decode()}"


def _schema(kinds: Mapping[_Path, set[str]], maps: set[_Path]) -> Schema:
    found = defaultdict[str, set[str]](set)
    for path, those in kinds.items():
        found["".join(_folded(path, maps)).removeprefix(".") or "the answer"] |= those
    return {path: _without_chance(those) for path, those in found.items()}


def _folded(path: _Path, maps: set[_Path]) -> _Path:
    """The path with `*` in place of the keys of maps."""
    place: _Path = ()
    for step in path:
        place = (*place, _ANY if step != _ITEM and place in maps else step)
    return place


def _array(path: _Path, lengths: set[int]) -> str:
    """The type of lists of these lengths. The number of rows depends on the request, and is no part of it."""
    is_of_rows = path in ((), (f".{PREDICTIONS}",))
    return "array" if is_of_rows or len(lengths) > 1 or 0 in lengths else f"array[{lengths.copy().pop()}]"


def _without_chance(kinds: set[str] | frozenset[str]) -> frozenset[str]:
    """The types, where lists of several lengths become one type without a length."""
    several = sum(kind.startswith("array") for kind in kinds) > 1
    return frozenset(map(_any_length, kinds)) if several else frozenset(kinds)


def _any_length(kind: str) -> str:
    return "array" if kind.startswith("array") else kind


def _either(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))
