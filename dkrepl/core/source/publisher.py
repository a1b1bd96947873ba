"""Collects the writes of one round of the loop into few stream messages and publishes them in their order (R3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames, members
from dkrepl.core.protocol.frames import pack_head, pack_record
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings

Data = bytes | memoryview
Publish = Callable[[bytes, Data], None]


class Publisher:
    """The only writer of the stream socket, so that the order of calls is the order of the stream (R3).

    ``publish(head, data)`` sends one message of the stream, and never waits.
    """

    def __init__(self, publish: Publish, stream: Stream, session: int, *, limits: Limits = DEFAULT) -> None:
        self._most_bytes = limits.message_bytes
        self._most_records = limits.message_records
        self._publish = publish
        self._stream = stream
        self._session = session
        self._records: list[bytes] = []
        self._data: list[Data] = []
        self._bytes = 0
        self._first = 0
        self._newest = 0  # the newest seq that was added

    def add(self, seq: int, record: bytes, data: Data | None) -> None:
        """Append a live record; ``data`` is that of a write or a generation. Large data goes out at once, by itself."""
        if data is not None:
            size = len(data)
            if self._bytes + size > self._most_bytes:
                self.flush()
            self._data.append(data)
            self._bytes += size
        if not self._records:
            self._first = seq
        self._newest = seq
        self._records.append(record)
        if self._bytes >= self._most_bytes or len(self._records) >= self._most_records:
            self.flush()

    def flush(self) -> None:
        """Publish what was collected to every target in the stream."""
        records = self._records
        if not records:
            return
        first, pieces = self._first, self._data
        if any(self._stream.masks):
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            total = checksum(data) if data else 0
            position = first + len(records) - 1
            for group, mask in enumerate(self._stream.masks):
                if mask:
                    head = pack_head(
                        group=group,
                        mask=mask,
                        kind=frames.LIVE,
                        epoch=0,
                        session=self._session,
                        first=first,
                        position=position,
                        records=records,
                        data_len=len(data),
                        data_sum=total,
                    )
                    self._publish(head, data)
        self._records, self._data, self._bytes = [], [], 0

    def flush_record(self, seq: int) -> None:
        """Publish a FLUSH record, and all that came before it."""
        self.add(seq, pack_record(frames.FLUSH, 0, 0), None)
        self.flush()

    def generation(self, seq: int, generation: str, in_sync: Mapping[str, bool]) -> None:
        """Publish a GENERATION record; ``in_sync``: the nodes that begin it, and whether they are synchronous."""
        named = members.pack(in_sync)
        self.flush()
        self.add(seq, pack_record(frames.GENERATION, len(named), int(generation, 16)), named)
        self.flush()

    def single(
        self,
        kind: int,
        settings: TargetSettings,
        epoch: int,
        number: int,
        record: bytes,
        data: Data = b"",
    ) -> None:
        """Publish a RESYNC message or a MARKER for one target, after every write so far."""
        self.flush()
        total = checksum(data) if data else 0
        # Not the newest seq that was given: a flush may have one whose record is published behind this message.
        position = self._newest
        head = pack_head(
            group=settings.group,
            mask=settings.bit,
            kind=kind,
            epoch=epoch,
            session=self._session,
            first=number,
            position=position,
            records=(record,),
            data_len=len(data),
            data_sum=total,
        )
        self._publish(head, data)
