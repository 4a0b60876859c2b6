"""A small keep-alive client of Belfry's API for the system tests; standard library only."""

import http.client
import json
import socket
import urllib.parse


class Client:
    """One connection, one key. Opens the connection again when the server closed it."""

    def __init__(self, base_url: str, key: str, timeout_s: float = 10):
        self.address = urllib.parse.urlsplit(base_url)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.timeout_s = timeout_s
        self.connection = None

    def send(self, method: str, path: str, body=None):
        """One request, never repeated by itself: (status, parsed body, headers). Raises OSError or
        http.client.HTTPException where no whole answer came."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                self.address.hostname, self.address.port, timeout=self.timeout_s
            )
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            payload = None if body is None else json.dumps(body)
            self.connection.request(method, path, payload, self.headers)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.will_close:
            self.close()
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text.decode("utf-8", "replace")
        return answer.status, parsed, answer.headers

    def get(self, path: str):
        """GET that tries once more on a connection closed while idle, which is harmless for a GET."""
        try:
            return self.send("GET", path)
        except (ConnectionError, http.client.RemoteDisconnected):
            return self.send("GET", path)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None
