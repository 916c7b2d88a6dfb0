"""What is wrong with an endpoint, or that nothing is, in sentences: what hurts most comes first.

Pure: a `Situation` in, findings out. The last five minutes, of which those before the newest switch do not count, are
compared with the time before that switch, or else with an hour ago. Each sentence says what can be done, where
something can.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tidegate.control.endpoints.endpoint_views import RunningView
from tidegate.core.rollout.switch import Switch
from tidegate.core.series.latency_histogram import quantile
from tidegate.core.series.series_point import STEPS, SeriesPoint
from tidegate.dashboard.formats import count, duration, memory, milliseconds, percent, rate
from tidegate.dashboard.pages.endpoint_overview.diagnosis_words import (
    STEP_TEXTS,
    all_of,
    causes,
    length,
    more_of,
    sentence,
    took_over,
)

# So many requests, at the least, are compared on each side.
FEWEST = 20
# A p50 or p99 is slower if it is this many times the earlier one, and this many seconds more.
SLOWER_TIMES, SLOWER_SECONDS = 1.5, 0.002
# One of so many times the earlier one is bad, not only busy.
FAR_SLOWER_TIMES = 3.0
# Errors are told from this share of the requests on; below it the sentence of a healthy endpoint names them.
MANY_ERRORS, MANY_REFUSED = 0.01, 0.2
# Waiting is told from this share of a request's time on, if it is this many seconds.
MUCH_WAITING, WAITING_SECONDS = 0.3, 0.001
# Memory is told from this share of its limit on.
MUCH_MEMORY = 0.9
# A switch explains what has changed for so long.
SWITCH_EXPLAINS_SECONDS = 86_400.0

_NOTHING = SeriesPoint(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of an endpoint. Points are of its whole traffic, and None where there are none."""

    now: float  # unix seconds
    state: str  # one of STATES of the list
    version: str = ""  # what serves: `v7`
    message: str = ""  # of the endpoint's state
    held_back: str = ""  # the gate's sentence, where it holds back a version
    failed: str = ""  # the sentence of an update that failed
    pending: str = ""  # what is being prepared: `v8`
    running: RunningView = field(default_factory=RunningView)
    recent: SeriesPoint = _NOTHING  # the last five minutes
    since_switch: SeriesPoint | None = None  # what of them is from after the newest switch; None where that is older
    hour_ago: SeriesPoint | None = None
    switch: Switch | None = None  # the newest
    before: SeriesPoint | None = None  # the minutes before that switch
    day: SeriesPoint = _NOTHING  # the last day: its cold starts
    why: str = ""  # why it has as many replicas as it has
    no_room: str = ""  # the sentence of a machine without memory for a replica

    @property
    def explains(self) -> Switch | None:
        """The newest switch, where what is seen now may be its doing."""
        recent = self.switch is not None and self.now - self.switch.at < SWITCH_EXPLAINS_SECONDS
        return self.switch if recent and self.switch is not None and self.switch.before is not None else None

    @property
    def lately(self) -> SeriesPoint:
        """What is compared with `earlier`: of the last minutes, those of what serves now, if they have requests."""
        since = self.since_switch if self.explains is not None else None
        return since if since is not None and since.requests >= FEWEST else self.recent

    @property
    def earlier(self) -> SeriesPoint | None:
        """What the last minutes are compared with."""
        return self.before if self.explains is not None else self.hour_ago


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence, its kind (`good`, `busy` or `bad`), and the tab of the endpoint where one can do something."""

    kind: str
    sentence: str
    tab: str = ""  # the tab's name


def diagnosis(seen: Situation) -> tuple[Finding, ...]:
    """The findings, at least one: those that hurt most first. Where nothing is wrong, it is one that says so."""
    found = [finding for rule in _RULES for finding in rule(seen)]
    found.sort(key=lambda finding: ("bad", "busy", "good").index(finding.kind))
    return tuple(found) or (_well(seen),)


# --- what may be wrong; each rule has at most one finding


def _is_down(seen: Situation) -> Iterator[Finding]:
    if seen.state == "failed":
        message = seen.message or seen.failed or "Its first start failed."
        yield Finding("bad", f"It does not serve. {sentence(message)}", "Logs")
    elif seen.state == "recovering":
        message = seen.message or "A replica is being started again."
        yield Finding("bad", f"It has no replica that can answer. {sentence(message)}", "Logs")
    elif seen.state == "creating":
        yield Finding(
            "busy", f"It is being prepared. {sentence(seen.message or 'It serves when it is ready.')}", "Logs"
        )


def _has_no_room(seen: Situation) -> Iterator[Finding]:
    if seen.no_room and seen.state != "recovering" and seen.running.ready < max(1, seen.running.wanted):
        lead = "The next request may not wake it. " if seen.state == "asleep" else ""
        yield Finding("busy", f"{lead}{sentence(seen.no_room)}", "Settings")


def _fails(seen: Situation) -> Iterator[Finding]:
    recent, failed = seen.lately, seen.lately.of_class(5)
    share = failed / recent.requests if recent.requests else 0.0
    if share < MANY_ERRORS or failed < 2:
        return
    said = f"{percent(share)} % of the requests of the last {length(recent)} failed: {causes(recent, 5)}."
    switch, before = seen.explains, seen.before
    if switch is not None and before is not None and before.requests >= FEWEST:
        earlier = before.of_class(5) / before.requests
        if share > 3 * earlier:
            said += f" It was {percent(earlier)} % before {took_over(switch, seen.now)}: roll back, or see its log."
            yield Finding("bad", said, "Roll-outs")
            return
    worst = max((status for status in recent.statuses if status >= 500), key=lambda one: recent.statuses[one])
    yield Finding("bad", f"{said} {_ADVICE.get(worst, _ADVICE[500])}", "Slow" if worst != 500 else "Logs")


_ADVICE = {
    500: "The log has the model's own words.",
    503: "Give it more replicas by a larger size, or more memory on the machine.",
    504: "Make the model faster, or raise its time limit.",
}


def _is_held_back(seen: Situation) -> Iterator[Finding]:
    goes_on = f" {seen.version} goes on serving." if seen.version else ""
    if seen.held_back:
        yield Finding("busy", f"A new version is held back. {sentence(seen.held_back)}{goes_on}", "Roll-outs")
    elif seen.failed and seen.state != "failed":
        yield Finding("busy", f"The last update failed. {sentence(seen.failed)}{goes_on}", "Logs")


def _is_slower(seen: Situation) -> Iterator[Finding]:
    lately, earlier = seen.lately, seen.earlier
    if earlier is None or lately.answered < FEWEST or earlier.answered < FEWEST:
        return
    # A few slow requests among the earlier ones hide a slower p99, and few slow ones of now leave p50 as it is.
    slower = [found for share in (0.99, 0.5) if (found := _slower(lately, earlier, share)) is not None]
    if not slower:
        return
    name, now, then = max(slower, key=lambda found: found[1] / found[2])
    times = f"{now / then:.0f}x" if now >= 2.5 * then else f"{now / then:.1f}x"
    switch = seen.explains
    when = f"that of before {took_over(switch, seen.now)}" if switch is not None else "that of an hour ago"
    said = f"{name} is {times} {when}: {milliseconds(now)} ms, was {milliseconds(then)}."
    kind, tab = "bad" if now >= FAR_SLOWER_TIMES * then else "busy", "Roll-outs" if switch else "Slow"
    yield Finding(kind, f"{said} {_what_takes_longer(lately, earlier)}", tab)


def _slower(lately: SeriesPoint, earlier: SeriesPoint, share: float) -> tuple[str, float, float] | None:
    """A quantile's name, and its seconds now and then; None where it is not slower."""
    now, then = quantile(lately.latency, share), quantile(earlier.latency, share)
    if now is None or not then or now < SLOWER_TIMES * then or now - then < SLOWER_SECONDS:
        return None
    return f"p{share * 100:.0f}", now, then


def _what_takes_longer(now: SeriesPoint, then: SeriesPoint) -> str:
    """The step that takes longer, by the mean of each."""
    if not now.stepped or not then.stepped:
        return "The slowest requests show where."
    more = [new / now.stepped - old / then.stepped for new, old in zip(now.steps, then.steps, strict=True)]
    most = max(range(len(STEPS)), key=lambda number: more[number])
    if more[most] < 0.0005 or more[most] < 0.3 * sum(change for change in more if change > 0):
        return "No step takes longer on average: the slowest requests show where."
    return f"{STEPS[most].capitalize()} takes {milliseconds(more[most])} ms more. {_MORE[STEPS[most]]}"


_MORE = {
    "queue": "Requests wait for a replica.",
    "wait": "Requests wait in a replica for their batch.",
    "decode": "Bodies have become larger, or of another form.",
    "predict": "That is the model itself.",
    "encode": "Answers have become larger.",
    "gateway": "The machine is busy, or bodies come in slowly.",
}


def _waits(seen: Situation) -> Iterator[Finding]:
    recent, running = seen.recent, seen.running
    if recent.stepped < FEWEST:
        return
    queued, total = recent.steps[0], sum(recent.steps)
    if not total or queued < MUCH_WAITING * total or queued / recent.stepped < WAITING_SECONDS:
        return
    said = f"{percent(queued / total)} % of a request's time is waiting for a replica: "
    if running.ready >= running.most:
        said += f"{all_of(running.ready)} in use, and its limit is {running.most}. A larger size allows more."
    elif running.wanted > running.ready:
        said += f"{all_of(running.ready)} in use; {more_of(running.wanted - running.ready)} being started."
    else:
        said += f"{all_of(running.ready)} in use; no more are started. {sentence(seen.why)}".rstrip()
    yield Finding("busy", said, "Settings" if running.ready >= running.most else "Slow")


def _is_full(seen: Situation) -> Iterator[Finding]:
    running, recent = seen.running, seen.recent
    used = recent.memory_bytes / recent.ready if recent.ready else 0.0
    if running.memory_limit and used >= MUCH_MEMORY * running.memory_limit:
        yield Finding(
            "busy",
            f"A replica uses {memory(used)} of its {memory(running.memory_limit)}, and is replaced above that. "
            "Choose a larger workload type.",
            "Settings",
        )


def _refuses(seen: Situation) -> Iterator[Finding]:
    recent, refused = seen.recent, seen.recent.of_class(4)
    if recent.requests < FEWEST or refused < MANY_REFUSED * recent.requests:
        return
    share = refused / recent.requests
    said = f"{percent(share)} % of the requests of the last {length(recent)} were refused: {causes(recent, 4)}."
    yield Finding("busy", f"{said} The newest errors have the reason in a sentence.", "Slow")


def _updates(seen: Situation) -> Iterator[Finding]:
    if seen.pending and seen.state not in {"creating", "failed"}:
        message = sentence(seen.message) if seen.message else "It serves when it is ready and has passed the gate."
        yield Finding(
            "good", f"{seen.pending} is being prepared, and {seen.version} serves meanwhile. {message}", "Roll-outs"
        )


_RULES = (_is_down, _fails, _has_no_room, _is_slower, _waits, _is_held_back, _is_full, _refuses, _updates)


# --- what is well


def _well(seen: Situation) -> Finding:
    recent, running = seen.lately, seen.running
    if seen.state == "asleep":
        return Finding("good", f"Asleep: the next request wakes it{_in_about(seen.day)}.")
    if not recent.requests:
        replicas = f"{running.ready} replica is" if running.ready == 1 else f"{running.ready} replicas are"
        return Finding("good", f"Healthy: no request in the last {length(recent)}, and {replicas} ready.")
    errors = recent.of_class(5)
    failed = f"{count(errors)} {'error' if errors == 1 else 'errors'}" if errors else "no errors"
    p99 = milliseconds(quantile(recent.latency, 0.99))
    said = f"Healthy: {rate(recent.requests / recent.seconds)} requests/s, p99 {p99} ms, {failed}."
    return Finding("good", f"{said} {_largest_step(recent)}".rstrip())


def _largest_step(point: SeriesPoint) -> str:
    total = sum(point.steps)
    if not point.stepped or not total:
        return ""
    most = max(range(len(STEPS)), key=lambda number: point.steps[number])
    if STEPS[most] == "predict":
        return f"The model is {percent(point.steps[most] / total)} % of a request's time."
    return f"{percent(point.steps[most] / total)} % of a request's time is {STEP_TEXTS[STEPS[most]]}."


def _in_about(day: SeriesPoint) -> str:
    totals = [spent for key, spent in day.cold.items() if key.endswith(" total")]
    starts = sum(number for number, _ in totals)
    if not starts:
        return ""
    mean = sum(seconds for _, seconds in totals) / starts
    return f" in about {mean * 1000:.0f} ms" if 0.01 <= mean < 1 else f" in about {duration(mean)}"
