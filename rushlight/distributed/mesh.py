"""Connections between all processes of a job, over which they send each other bytes."""

from __future__ import annotations

import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable

from .errors import DistNetworkError
from .store import TCPStore, close, receive_exactly

# Group, kind (a collective's or the user's), tag, length.
_HEADER = struct.Struct("!IBqQ")

Label = tuple[int, int, int]


class Mesh:
    """A socket to each other process, and a thread for each that puts what arrives into its mailbox.

    What arrives is always taken off the wire, so that two processes that both send first do not wait for each other.
    """

    def __init__(self, store: TCPStore, rank: int, size: int) -> None:
        self.rank, self.size, self.store = rank, size, store
        self.sockets: dict[int, socket.socket] = {}
        self.writing = {peer: threading.Lock() for peer in range(size)}
        self.mail: dict[Label, dict[int, deque[bytes | bytearray]]] = {}
        self.arrived = threading.Condition()
        self.gone: set[int] = set()
        self._connect()

    def _connect(self) -> None:
        with socket.create_server(("", 0), backlog=self.size) as listener:
            self.store.set(f"address/{self.rank}", f"{self.store.own_address()} {listener.getsockname()[1]}")
            for peer in range(self.rank):
                host, port = self.store.get(f"address/{peer}").decode().split()
                connection = socket.create_connection((host, int(port)))
                connection.sendall(struct.pack("!I", self.rank))
                self.sockets[peer] = connection
            for _ in range(self.rank + 1, self.size):
                connection, _ = listener.accept()
                self.sockets[struct.unpack("!I", receive_exactly(connection, 4))[0]] = connection
        for peer, connection in self.sockets.items():
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._read, args=(peer, connection), daemon=True).start()

    def _read(self, peer: int, connection: socket.socket) -> None:
        try:
            while True:
                group, kind, tag, length = _HEADER.unpack(receive_exactly(connection, _HEADER.size))
                self._deliver(peer, (group, kind, tag), receive_exactly(connection, length))
        except (EOFError, OSError):
            with self.arrived:
                self.gone.add(peer)
                self.arrived.notify_all()

    def _deliver(self, peer: int, label: Label, data: bytes | bytearray) -> None:
        with self.arrived:
            self.mail.setdefault(label, {}).setdefault(peer, deque()).append(data)
            self.arrived.notify_all()

    def send(self, peer: int, label: Label, data: bytes) -> None:
        if peer == self.rank:
            self._deliver(peer, label, data)
            return
        try:
            with self.writing[peer]:
                self.sockets[peer].sendall(_HEADER.pack(*label, len(data)))
                self.sockets[peer].sendall(data)
        except OSError:
            raise DistNetworkError(f"Connection closed by peer: rank {peer}") from None

    def receive(self, peers: Iterable[int], label: Label, timeout: float) -> tuple[int, bytes | bytearray]:
        """What one of these processes has sent under this label, and which."""
        peers = list(peers)

        def sender() -> int | None:
            boxes = self.mail.get(label, {})
            return next((peer for peer in peers if boxes.get(peer)), None)

        with self.arrived:
            if not self.arrived.wait_for(lambda: sender() is not None or self.gone.issuperset(peers), timeout):
                raise RuntimeError(f"Timed out waiting {int(timeout * 1000)}ms for recv operation to complete")
            found = sender()
            if found is None:
                raise DistNetworkError(f"Connection closed by peer: rank {peers[0]}")
            boxes = self.mail[label]
            data = boxes[found].popleft()
            if not boxes[found]:
                del boxes[found]
            if not boxes:
                del self.mail[label]
            return found, data

    def close(self) -> None:
        for connection in self.sockets.values():
            close(connection)
        self.store.close()
