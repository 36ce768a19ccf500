"""Keep every report until the cloud says that it has it, under a number that is never used for another one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from onecode.edge.v1 import edge_pb2 as pb
from onecode_edge.adapters.database import Database
from onecode_edge.domain.observed import Observed

_AGAIN_S = 10.0
_COUNTERS_A_ROW = 100
_MOST_COUNTERS = 100_000
_DAY_S = 86_400
_KEY = ("model", "rollout", "revision", "digest", "role", "start", "seconds")
_COLUMNS = ", ".join(_KEY)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A report that is to be sent.

    Attributes:
        kind: ``action``, ``counters`` or ``status``: the last part of its subject.
    """

    sequence: int
    kind: str
    report: pb.Report


class Outbox:
    """Reports that wait for their acknowledgement. Safe to use from several threads.

    Args:
        source: The gateway's id; the server believes its credential instead.
        boot_id: Differs with each start.
    """

    def __init__(self, database: Database, source: str, boot_id: str) -> None:
        self._database = database
        self.source = source
        self._boot_id = boot_id

    def add(self, kind: str, body: pb.Action | pb.Status) -> int:
        """Keep a report and return its number; inside a transaction it is part of that.

        A status that was never sent is replaced: only the newest one says anything.
        """
        with self._database.transaction() as connection:
            if kind == "status":
                row = connection.execute("SELECT sequence FROM outbox WHERE kind='status' AND attempts=0").fetchone()
                if row:
                    connection.execute("UPDATE outbox SET body=? WHERE sequence=?", (body.SerializeToString(), row[0]))
                    return int(row[0])
            return self._insert(kind, body.SerializeToString())

    def add_counters(self, counters: Iterable[pb.Counter], instance: str) -> None:
        """Keep the totals of one serving process; those that did not grow are not sent again.

        Args:
            counters: Totals by model, arm and interval, as :class:`onecode_serving.counters.Counters` gives them.
            instance: Of the process: the totals of a restarted one begin at zero, so the report sums over all.
        """
        with self._database.transaction():
            room = sequence = 0
            for counter in counters:
                if not self._grew(counter, instance):
                    continue
                if room == 0:
                    sequence, room = self._counter_row()
                self._store(counter, instance, sequence)
                room -= 1
            self._bound()

    def take_due(self, now: float, limit: int = 200) -> list[Outgoing]:
        """Return what was never sent, or so long ago that its acknowledgement will not come, oldest first.

        They count as sent from here on, so that nothing is added to a report that is on its way.
        """
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT sequence, kind, body FROM outbox WHERE sent_at<=? OR sent_at>? ORDER BY sequence LIMIT ?",
                (now - _AGAIN_S, now + _AGAIN_S, limit),
            ).fetchall()
            connection.executemany(
                "UPDATE outbox SET attempts=attempts+1, sent_at=?,"
                " first_sent_at=CASE attempts WHEN 0 THEN ? ELSE first_sent_at END WHERE sequence=?",
                [(now, now, row[0]) for row in rows],
            )
            return [Outgoing(row[0], row[1], self._report(row[0], row[1], row[2], int(now))) for row in rows]

    def never_left(self, sequences: Iterable[int]) -> None:
        """Note that these surely reached nobody; they are due again, and may still grow."""
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE outbox SET attempts=attempts-1, sent_at=0 WHERE sequence=? AND attempts>0",
                [(sequence,) for sequence in sequences],
            )

    def acknowledged(self, sequences: Iterable[int]) -> None:
        """Forget what the cloud has."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM outbox WHERE sequence=?", [(number,) for number in sequences])

    def oldest_sent(self, before: float) -> int | None:
        """Return the number of the oldest report that was sent before a moment for the first time, and still waits."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT min(sequence) FROM outbox WHERE attempts>0 AND first_sent_at<=?", (before,)
            ).fetchone()
        return None if row[0] is None else int(row[0])

    def waiting(self) -> int:
        """Return how many reports wait."""
        with self._database.transaction() as connection:
            return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def observed(self, digests: Iterable[str], since: float) -> Observed:
        """Return what these versions did together since a moment."""
        total = Observed()
        with self._database.transaction() as connection:
            for digest in digests:
                row = connection.execute(
                    "SELECT total(requests), total(errors), total(non_finite) FROM counters"
                    " WHERE digest=? AND start>=? AND role<>'shadow'",
                    (digest, since),
                ).fetchone()
                total += Observed(*map(int, row))
        return total

    def forget_old(self, now: float) -> None:
        """Remove counters of more than a day ago that were acknowledged."""
        with self._database.transaction() as connection:
            connection.execute(
                "DELETE FROM counters WHERE start<? AND sequence NOT IN (SELECT sequence FROM outbox)", (now - _DAY_S,)
            )

    def _insert(self, kind: str, body: bytes) -> int:
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO outbox (kind, body, attempts, sent_at, first_sent_at) VALUES (?, ?, 0, 0, 0)", (kind, body)
            )
            sequence = int(cursor.lastrowid or 0)
        self._database.reserve(sequence)
        return sequence

    def _counter_row(self) -> tuple[int, int]:
        """Return a report that was never sent, and how many more counters it may take."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT max(sequence) FROM outbox WHERE kind='counters' AND attempts=0").fetchone()
            if row[0] is not None:
                (held,) = connection.execute("SELECT count(*) FROM counters WHERE sequence=?", row).fetchone()
                if held < _COUNTERS_A_ROW:
                    return int(row[0]), _COUNTERS_A_ROW - held
        return self._insert("counters", b""), _COUNTERS_A_ROW

    def _grew(self, counter: pb.Counter, instance: str) -> bool:
        with self._database.transaction() as connection:
            row = connection.execute(
                f"SELECT requests + unassigned, shadow FROM counters WHERE {_where()} AND instance=?",  # noqa: S608 - fixed text
                (*_key(counter), instance),
            ).fetchone()
        if row is None:
            return True
        return int(row[0]) + _found(row[1])[1] < counter.requests + counter.unassigned + counter.dropped

    def _store(self, counter: pb.Counter, instance: str, sequence: int) -> None:
        """Keep the totals of one process, and move the sum over all processes into the report ``sequence``."""
        key = _key(counter)
        totals = (counter.requests, counter.errors, counter.non_finite, counter.unassigned)
        with self._database.transaction() as connection:
            connection.execute(
                f"INSERT OR REPLACE INTO counters ({_COLUMNS}, instance, requests, errors, non_finite, unassigned,"  # noqa: S608
                f" latency, shadow, sequence) VALUES ({', '.join('?' * (len(_KEY) + 8))})",
                (*key, instance, *totals, json.dumps(list(counter.latency.counts)), _shadow(counter), sequence),
            )
            connection.execute(f"UPDATE counters SET sequence=? WHERE {_where()}", (sequence, *key))  # noqa: S608

    def _report(self, sequence: int, kind: str, body: bytes, now: int) -> pb.Report:
        report = pb.Report(source=self.source, boot_id=self._boot_id, sequence=sequence, sent_at=now)
        if kind == "action":
            report.action.ParseFromString(body)
        elif kind == "status":
            report.status.ParseFromString(body)
        else:
            report.counters.counters.extend(self._summed(sequence))
            report.counters.SetInParent()
        return report

    def _summed(self, sequence: int) -> list[pb.Counter]:
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS}, requests, errors, non_finite, unassigned, latency, shadow FROM counters"  # noqa: S608
                " WHERE sequence=?",
                (sequence,),
            ).fetchall()
        summed: dict[tuple[object, ...], pb.Counter] = {}
        for row in rows:
            key = tuple(row[: len(_KEY)])
            counter = summed.get(key)
            if counter is None:
                counter = summed[key] = pb.Counter(
                    model=key[0], rollout=key[1], revision=key[2], digest=key[3], role=key[4],
                    interval_start=key[5], interval_seconds=key[6],
                )  # fmt: skip
            _add(counter, *row[len(_KEY) :])
        return list(summed.values())

    def _bound(self) -> None:
        """Drop the oldest counters when the cloud was away for so long that the disk would fill."""
        with self._database.transaction() as connection:
            (held,) = connection.execute("SELECT count(*) FROM counters").fetchone()
            if held > _MOST_COUNTERS:
                connection.execute(
                    "DELETE FROM counters WHERE rowid IN (SELECT rowid FROM counters ORDER BY start LIMIT ?)",
                    (held - _MOST_COUNTERS,),
                )
                connection.execute(
                    "INSERT INTO meta VALUES ('dropped_counters', ?) ON CONFLICT (name)"
                    " DO UPDATE SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER)",
                    (str(held - _MOST_COUNTERS),),
                )


def _add(
    counter: pb.Counter, requests: int, errors: int, non_finite: int, unassigned: int, latency: str, shadow: str
) -> None:
    counter.requests += requests
    counter.errors += errors
    counter.non_finite += non_finite
    counter.unassigned += unassigned
    different, dropped, largest = _found(shadow)
    counter.different += different
    counter.dropped += dropped
    counter.largest_difference = max(counter.largest_difference, largest)
    counts = json.loads(latency)
    held = list(counter.latency.counts) or [0] * len(counts)
    counter.latency.counts[:] = [a + b for a, b in zip(held, counts, strict=True)]


def _shadow(counter: pb.Counter) -> str:
    if counter.role != "shadow":
        return ""
    return json.dumps([counter.different, counter.dropped, counter.largest_difference])


def _found(shadow: str) -> tuple[int, int, float]:
    different, dropped, largest = json.loads(shadow) if shadow else (0, 0, 0.0)
    return different, dropped, largest


def _key(counter: pb.Counter) -> tuple[object, ...]:
    return (
        counter.model,
        counter.rollout,
        counter.revision,
        counter.digest,
        counter.role,
        counter.interval_start,
        counter.interval_seconds,
    )


def _where() -> str:
    return " AND ".join(f"{name}=?" for name in _KEY)
