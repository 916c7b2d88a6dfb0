"""Of which minutes anything is known: those in which control was there."""

from collections.abc import Iterable

from tidegate.core.series.series_point import SeriesPoint

MINUTE, QUARTER = 60.0, 900.0
_OF_AN_HOUR, _OF_A_DAY = 60, 24


class Presence:
    """The minutes in which control was there, of the last 14 days. A part of a minute counts as that part."""

    def __init__(self) -> None:
        self._hours: dict[int, bytearray] = {}  # hour → seconds known of each of its minutes

    def note(self, minute: int, seconds: float) -> None:
        """Note that so many seconds of a minute are known; more than a minute has are a minute's."""
        hour, place = divmod(minute, _OF_AN_HOUR)
        known = self._hours.setdefault(hour, bytearray(_OF_AN_HOUR))
        known[place] = max(known[place], min(int(MINUTE), round(seconds)))

    def take(self, points: Iterable[SeriesPoint]) -> None:
        """Note what an earlier process has recorded: points of minutes, or of quarters of an hour."""
        for point in points:
            minutes = max(1, round(point.seconds / MINUTE))
            known = round(point.ready * minutes) if minutes > 1 else 1
            for number in range(known):
                self.note(int(point.at // MINUTE) + number, MINUTE if minutes > 1 else MINUTE * point.ready)

    def known(self, at: float, seconds: float) -> float:
        """How many seconds of a time, unix seconds, are known."""
        until, total = at + seconds, 0.0
        if not self._hours:
            return total
        if seconds > 3600 * _OF_A_DAY:  # however long the time is, only what is kept is looked through
            at, until = max(at, 3600.0 * min(self._hours)), min(until, 3600.0 * (max(self._hours) + 1))
        minute = int(at // MINUTE)
        hour, place = divmod(minute, _OF_AN_HOUR)
        count = int(seconds // MINUTE)
        if at == minute * MINUTE and seconds == count * MINUTE and place + count <= _OF_AN_HOUR:
            return float(sum(self._hours.get(hour, b"")[place : place + count]))
        while minute * MINUTE < until:
            hour, place = divmod(minute, _OF_AN_HOUR)
            known = self._hours.get(hour)
            if known is not None and known[place]:
                begin, end = max(at, minute * MINUTE), min(until, (minute + 1) * MINUTE)
                total += min(end - begin, known[place])
            minute += 1
        return total

    def forget(self, before_hour: int) -> None:
        """Forget all hours before this one."""
        self._hours = {hour: known for hour, known in self._hours.items() if hour >= before_hour}
