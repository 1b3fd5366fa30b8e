"""`TCPStore`: keys and values that processes share, kept by the first of them."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from .errors import DistNetworkError, DistStoreError

TIMEOUT = timedelta(minutes=30)

_LENGTH = struct.Struct("!I")


def receive_exactly(connection: socket.socket, size: int) -> bytearray:
    """That many bytes, or an EOFError."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError("the connection was closed")
        view = view[count:]
    return data


def close(connection: socket.socket) -> None:
    """Close a socket on which another thread may be waiting."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # the other side has been first
        pass
    connection.close()


def _send(connection: socket.socket, *parts: bytes) -> None:
    """A message: the number of its parts, then each with its length."""
    connection.sendall(b"".join([_LENGTH.pack(len(parts)), *(_LENGTH.pack(len(part)) + part for part in parts)]))


def _receive(connection: socket.socket) -> list[bytes]:
    def length() -> int:
        return int(_LENGTH.unpack(receive_exactly(connection, _LENGTH.size))[0])

    return [bytes(receive_exactly(connection, length())) for _ in range(length())]


class _Server:
    """Answers requests, each client in a thread of its own, from one dictionary."""

    def __init__(self, host: str, port: int) -> None:
        self.values: dict[bytes, bytes] = {}
        self.changed = threading.Condition()
        self.socket = socket.create_server((host, port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:  # closed
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            while True:
                request, *arguments = _receive(client)
                _send(client, *self._answer(request, arguments))
        except (EOFError, OSError):
            client.close()

    def _answer(self, request: bytes, arguments: list[bytes]) -> list[bytes]:
        with self.changed:
            if request == b"wait":
                seconds, *keys = arguments
                there = self.changed.wait_for(lambda: all(key in self.values for key in keys), float(seconds))
                return [self.values[key] for key in keys] if there else []
            key = arguments[0] if arguments else b""
            if request == b"set":
                self.values[key] = arguments[1]
            elif request == b"add":
                self.values[key] = str(int(self.values.get(key, b"0")) + int(arguments[1])).encode()
            elif request == b"delete":
                return [b"1" if self.values.pop(key, None) is not None else b"0"]
            elif request == b"check":
                return [b"1" if all(key in self.values for key in arguments) else b"0"]
            elif request == b"count":
                return [str(len(self.values)).encode()]
            self.changed.notify_all()
            return [self.values[key]]


class TCPStore:
    """Keys and values that the processes of a job share; the one with ``is_master`` keeps them. Port 0 is any free one.

    >>> store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    >>> store.set("key", "value")
    >>> store.get("key")
    b'value'
    """

    def __init__(self, host_name: str, port: int, world_size: int | None = None, is_master: bool = False, timeout: timedelta = TIMEOUT, wait_for_workers: bool = True) -> None:
        self.host, self.timeout = host_name, timeout
        self._server = None
        if is_master:
            try:
                self._server = _Server("", port)
            except OSError as error:
                raise DistNetworkError(f"The server socket has failed to listen on any local network address. port: {port}, {error}") from None
            port = self._server.socket.getsockname()[1]
        self.port = port
        self._turn = threading.Lock()
        self._connection = self._connect()
        if world_size is not None and wait_for_workers:
            self.add("workers", 1)
            until = time.monotonic() + timeout.total_seconds()
            while int(self.get("workers")) < world_size and time.monotonic() < until:
                time.sleep(0.01)

    def _connect(self) -> socket.socket:
        until = time.monotonic() + self.timeout.total_seconds()
        while True:
            try:
                connection = socket.create_connection((self.host, self.port), timeout=10)
            except OSError as error:  # the first process may not be there yet
                if time.monotonic() > until:
                    raise DistNetworkError(f"The client socket has timed out after {self.timeout} while trying to connect to ({self.host}, {self.port}): {error}") from None
                time.sleep(0.02)
            else:
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection

    def _ask(self, *request: bytes) -> list[bytes]:
        with self._turn:
            _send(self._connection, *request)
            return _receive(self._connection)

    def own_address(self) -> str:
        """The address by which the other processes can reach this one."""
        return str(self._connection.getsockname()[0])

    def set(self, key: str, value: str | bytes) -> None:
        self._ask(b"set", key.encode(), value.encode() if isinstance(value, str) else value)

    def get(self, key: str) -> bytes:
        """The value of a key, once it has one."""
        return self._values([key], self.timeout)[0]

    def _values(self, keys: Sequence[str], timeout: timedelta) -> list[bytes]:
        found = self._ask(b"wait", str(timeout.total_seconds()).encode(), *(key.encode() for key in keys))
        if keys and not found:
            raise DistStoreError(f"wait timeout after {int(timeout.total_seconds() * 1000)}ms, keys: {', '.join(keys)}")
        return found

    def wait(self, keys: Sequence[str], timeout: timedelta | None = None) -> None:
        """Wait until all the keys have values."""
        self._values(keys, self.timeout if timeout is None else timeout)

    def add(self, key: str, amount: int) -> int:
        """Add to a counter, which starts at zero."""
        return int(self._ask(b"add", key.encode(), str(amount).encode())[0])

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all the keys have values."""
        return self._ask(b"check", *(key.encode() for key in keys)) == [b"1"]

    def delete_key(self, key: str) -> bool:
        return self._ask(b"delete", key.encode()) == [b"1"]

    def num_keys(self) -> int:
        return int(self._ask(b"count")[0])

    def set_timeout(self, timeout: timedelta) -> None:
        self.timeout = timeout

    def close(self) -> None:
        close(self._connection)
        if self._server is not None:
            close(self._server.socket)

    def __del__(self) -> None:
        if "_connection" in self.__dict__:
            self.close()
