"""Collects the writes of one round of the loop into few stream messages and publishes them in their order."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest as checksum

from dkrepl.config.limits import DEFAULT, Limits
from dkrepl.core.protocol import frames
from dkrepl.core.protocol.frames import pack_head
from dkrepl.core.source.stream import Stream
from dkrepl.core.source.target_settings import TargetSettings
from dkrepl.daemon.connections import SourceSockets


class Publisher:
    """The only writer of the stream socket, so that the order of calls is the order of the stream (R3)."""

    def __init__(self, sockets: SourceSockets, stream: Stream, session: int, *, limits: Limits = DEFAULT) -> None:
        self._alone = limits.copy_below_bytes  # so much data is a message of its own
        self._most_records = limits.message_records
        self._publish = sockets.publish
        self._stream = stream
        self._session = session
        self._records: list[bytes] = []
        self._data: list[bytes | memoryview] = []
        self._bytes = 0
        self._first = 0

    def add(self, seq: int, record: bytes, data: bytes | memoryview | None) -> None:
        """Append a live record; ``data`` is that of a write. Large data goes out at once, by itself."""
        if data is not None:
            size = len(data)
            if self._bytes + size > self._alone:
                self.flush()
            self._data.append(data)
            self._bytes += size
        if not self._records:
            self._first = seq
        self._records.append(record)
        if self._bytes >= self._alone or len(self._records) >= self._most_records:
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

    def single(
        self,
        kind: int,
        settings: TargetSettings,
        epoch: int,
        number: int,
        record: bytes,
        data: bytes | memoryview = b"",
    ) -> None:
        """Publish a RESYNC message or a MARKER for one target, after every write so far."""
        self.flush()
        total = checksum(data) if data else 0
        position = self._stream.log.seq
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
