#!/usr/bin/python3
"""Stands in the relay's place: takes the broker's orders and keeps them, and
asks the broker what the test tells it to, over a socket beside its own file.

One JSON object a line: {"ask": METHOD, "parameters": {...}} is answered with
what the broker said; {"asks": [...]} sends all before it reads an answer;
{"orders": true} gives the orders so far; {"refuse": METHOD, "error": {...}}
has the next such order fail; {"silent": METHOD} has it never answered."""

import json
import os
import select
import socket
import sys

ORDERS, ASKS = 3, 4


class Wire:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(True)
        self.got = b""

    def send(self, *messages):
        """All of them together: that they come so is no matter of luck."""
        self.socket.sendall(b"".join(json.dumps(m).encode() + b"\0"
                                     for m in messages))

    def recv(self):
        while b"\0" not in self.got:
            data = self.socket.recv(1 << 20)
            if not data:
                sys.exit(0)
            self.got += data
        one, self.got = self.got.split(b"\0", 1)
        return json.loads(one)


def answer(message, state):
    name = message["method"].rsplit(".", 1)[1]
    p = message.get("parameters") or {}
    state["orders"].append({"method": name, "parameters": p})
    if name == state.pop("silent_" + name, None):
        return None
    error = state.pop("refuse_" + name, None)
    if error:
        return {"error": "io.certvault.Relay." + error[0],
                "parameters": error[1]}
    if name == "Listen":
        state["port"] = p["port"] or 34567
        return {"parameters": {"port": state["port"]}}
    if name == "Status":
        return {"parameters": {"clients": 0, "streams": 0, "upstreams": 0,
                               "requests": 0, "signatures": 0, "grants": 0}}
    return {"parameters": {}}


def control(line, asks, state):
    order = json.loads(line)
    if "ask" in order:
        order["asks"] = [{"method": order["ask"],
                          "parameters": order["parameters"]}]
    if "asks" in order:
        asks.send(*({"method": "io.certvault.Door." + ask["method"],
                     "parameters": ask["parameters"]}
                    for ask in order["asks"]))
        answers = [asks.recv() for _ in order["asks"]]
        return answers[0] if "ask" in order else answers
    if "refuse" in order:
        state["refuse_" + order["refuse"]] = order["error"]
    if "silent" in order:
        state["silent_" + order["silent"]] = order["silent"]
    return state["orders"]


def main():
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "control")
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.unlink(here)
    except FileNotFoundError:
        pass
    listener.bind(here)
    listener.listen()
    orders, asks = Wire(ORDERS), Wire(ASKS)
    state = {"orders": []}
    clients = []
    while True:
        ready, _, _ = select.select(
            [orders.socket, listener, *clients], [], [])
        for s in ready:
            if s is orders.socket:
                said = answer(orders.recv(), state)
                if said is not None:
                    orders.send(said)
            elif s is listener:
                clients.append(listener.accept()[0])
            else:
                line = s.makefile("rb").readline()
                if not line:
                    clients.remove(s)
                    s.close()
                    continue
                s.sendall(json.dumps(control(line, asks, state)).encode()
                          + b"\n")


if __name__ == "__main__":
    main()
