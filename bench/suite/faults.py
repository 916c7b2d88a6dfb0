"""Faults to plant: each takes away one promise of the code, and some test must notice.

A fault whose text is no longer in its file cannot be planted: choose another one in its place.
"""

from typing import NamedTuple


class Fault(NamedTuple):
    """A change of one place in a file below `src`; `tests` is the folder in which it should be found."""

    name: str
    file: str
    was: str
    planted: str
    tests: str


FAULTS = (
    Fault(
        "what was in flight at a death runs again beside others",
        "tidegate/gateway/queue/revision_queue.py",
        "            request.alone = True  # until it is answered\n",
        "            request.alone = False\n",
        "gateway",
    ),
    Fault(
        "a request may kill three replicas",
        "tidegate/gateway/queue/revision_queue.py",
        "request.crashes >= 2",
        "request.crashes >= 3",
        "gateway",
    ),
    Fault(
        "an account that changes after a report is not reported again",
        "tidegate/gateway/metering/meter.py",
        "        changed, self._changed, self._stirred = self._changed, [], False\n",
        "        changed, self._changed, self._stirred = self._changed, [], True\n",
        "gateway",
    ),
    Fault(
        "a process that dies while accounts are merged counts them twice",
        "tidegate/gateway/metering/ledger.py",
        "        for place in places:\n            self._settle(place)\n",
        "",
        "gateway",
    ),
    Fault(
        "a draining replica's answers are not waited for",
        "tidegate/gateway/queue/lane.py",
        "        if self.draining and not self.busy:\n",
        "        if self.draining:\n",
        "gateway",
    ),
    Fault(
        "a token that was accepted once is accepted for ever",
        "tidegate/gateway/scoring/token_check.py",
        "self.table, self._accepted = table, {}",
        "self.table = table",
        "gateway",
    ),
    Fault(
        "a page of another site changes things by its visitor's session",
        "tidegate/gateway/scoring/token_check.py",
        "            cors.check_own_page(method, headers, self._origin)\n",
        "",
        "gateway",
    ),
    Fault(
        "callers say themselves who they are",
        "tidegate/gateway/http/callers.py",
        '    headers = _without_claims(scope["headers"])\n',
        '    headers = list(scope["headers"])\n',
        "gateway",
    ),
    Fault(
        "a draining replica keeps what still comes",
        "tidegate_worker/replica_server.py",
        "        if self._stopping:\n            self._hand_back(connection, [request.id for request in requests])\n",
        "",
        "worker",
    ),
    Fault(
        "a request that must be alone joins a batch",
        "tidegate_worker/batching/batcher.py",
        "other.deadline > now and not other.alone and",
        "other.deadline > now and",
        "worker",
    ),
    Fault(
        "equal answers to all rows prove batching",
        "tidegate_worker/proof/batch_trial.py",
        "    if _distinct_answers(answered) < 2:\n",
        "    if _distinct_answers(answered) < 1:\n",
        "worker",
    ),
    Fault(
        "an integer may be one too large",
        "tidegate_worker/input/column_fit.py",
        "-limit <= value < limit",
        "-limit <= value <= limit",
        "worker",
    ),
    Fault(
        "base64 may have characters that it has not",
        "tidegate_worker/input/column_fit.py",
        "    if base64.b64encode(decoded).decode() != plain:",
        "    if not plain.isascii():",
        "worker",
    ),
    Fault(
        "a compressed body may be cut short",
        "tidegate/gateway/scoring/content_coding.py",
        "        if self._taken and (self._member is None or not self._member.eof):\n",
        "        if self._taken and self._member is None:\n",
        "gateway",
    ),
    Fault(
        "the end of a switch is not written where others wrote meanwhile",
        "tidegate/control/reconcile/config_switch.py",
        "                current = await self._store.endpoint(endpoint.name)\n",
        "                continue\n",
        "control",
    ),
    Fault(
        "a revision is ended while a gateway has a request of it",
        "tidegate/control/publish/gateway_links.py",
        "rid not in table.revisions and rid not in busy",
        "rid not in table.revisions",
        "control",
    ),
    Fault(
        "a gateway's restart forgets what it had counted",
        "tidegate/control/publish/gateway_links.py",
        "            self._past = self._past.plus(left_behind(earlier, report))\n",
        "            pass\n",
        "control",
    ),
    Fault(
        "a preparation that was given up in its last moment counts",
        "tidegate/control/reconcile/builds.py",
        "        if self._tasks.get(revision.id) is asyncio.current_task():",
        "        if revision:",
        "control",
    ),
    Fault(
        "a replica that outgrew its memory does not make way for its successor",
        "tidegate/engines/scheduling/capacity.py",
        "return self._drain_predecessor(request, short)",
        "return False",
        "engines",
    ),
    Fault(
        "replicas of an earlier launch go before the new ones are ready",
        "tidegate/engines/scheduling/schedule.py",
        "serving[: max(0, count - ready)]",
        "serving[:0]",
        "engines",
    ),
    Fault(
        "a deadline's alarm counts as a crash",
        "tidegate/engines/replicas/fleet.py",
        "if known is not None and endings.signal_of(status) == signal.SIGALRM:",
        "if False:",
        "engines",
    ),
    Fault(
        "a template that is forking is evicted",
        "tidegate/engines/templates/templates.py",
        "for template in [template for template in self._warm.values() if not template.forking]:",
        "for template in list(self._warm.values()):",
        "engines",
    ),
    Fault(
        "replicas go although a gateway's reports are missing",
        "tidegate/core/scaling/scaling.py",
        "if observed.known_since is None or observed.rolling_out or count",
        "if observed.rolling_out or count",
        "core",
    ),
    Fault(
        "a version thirty times as slow passes the gate",
        "tidegate/core/rollout/gate.py",
        "SLOWER_TIMES, SLOWER_SECONDS = 3.0,",
        "SLOWER_TIMES, SLOWER_SECONDS = 30.0,",
        "core",
    ),
    Fault(
        "a retiring revision is removed while it is routed to",
        "tidegate/core/rollout/plan.py",
        "            elif revision.id in snapshot.unrouted:\n",
        "            else:\n",
        "core",
    ),
    Fault(
        "a rejected version is tried again at each look",
        "tidegate/core/rollout/following.py",
        "        if ref not in now or _version(ref, now[ref], endpoint) == version\n",
        "        if ref not in now or _version(ref, now[ref], endpoint) != version\n",
        "core",
    ),
    Fault(
        "a location is opened unchecked where another one leads to it",
        "tidegate/adapters/mlflow/artifact_locations.py",
        "    table |= {scheme: checked(repository) for scheme, repository in table.items()}\n",
        "    table |= {scheme: checked(table[scheme]) for scheme in ('models', 'runs')}\n",
        "adapters/mlflow",
    ),
    Fault(
        "the registry's token goes to any path of the registry's host",
        "tidegate/adapters/mlflow/artifact_locations.py",
        'service = own.path.rstrip("/") + _SERVICE',
        'service = "/"',
        "adapters/mlflow",
    ),
    Fault(
        "a link out of the model is built",
        "tidegate/adapters/requirements/local_files.py",
        "if each.is_symlink() and not each.resolve().is_relative_to(model_dir):",
        "if False:",
        "adapters/requirements",
    ),
)
