"""grpcio (C-core) as server and client, for tests of what it makes of a gateway.

server [STREAMS]  prints {"port"}; peers.Peers as test/testbed/peers/grpc.go has it; ends with standard input
client TARGET [TLS_FOLDER SERVER_NAME]  for each line of JSON {"mode", "count", "atOnce", "messages", "size", "deadline"} prints
    {"results": {how many ended how}}; one connection for all
"""

import collections
import itertools
import json
import os
import sys
import threading
from concurrent import futures

import grpc

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def late(_, context):
    """Answers when it has been given up."""
    given_up = threading.Event()
    if context.add_callback(given_up.set):
        given_up.wait()
    return b""


def watch(_, context):
    """One message, then silence."""
    yield b"one"
    late(_, context)


def download(request, _):
    messages, size = json.loads(request)
    yield from itertools.repeat(b"x" * size, messages)


def refuse(messages, context):
    """Ends the call while the client still sends."""
    next(messages)
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this: ä")


def server(streams=None):
    methods = {
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "Late": grpc.unary_unary_rpc_method_handler(late),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Download": grpc.unary_stream_rpc_method_handler(download),
        "Upload": grpc.stream_unary_rpc_method_handler(lambda messages, _: b"%d" % sum(map(len, messages))),
        "Chat": grpc.stream_stream_rpc_method_handler(lambda messages, _: messages),
        "Refuse": grpc.stream_stream_rpc_method_handler(refuse),
    }
    options = [*UNLIMITED, ("grpc.so_reuseport", 0)]
    if streams is not None:
        options.append(("grpc.max_concurrent_streams", int(streams)))
    running = grpc.server(futures.ThreadPoolExecutor(200), options=options)
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peers.Peers", methods),))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    running.stop(0)


def calls(channel):
    """What one call comes to, by mode."""

    def sent(job):
        return itertools.repeat(b"x" * job["size"], job["messages"])

    def echo(job):
        payload = b"x" * job["size"]
        return "OK" if channel.unary_unary("/peers.Peers/Echo")(payload, timeout=60) == payload else "another"

    def down(job):
        request = json.dumps([job["messages"], job["size"]]).encode()
        return sum(map(len, channel.unary_stream("/peers.Peers/Download")(request, timeout=60)))

    return {
        "echo": echo,
        "late": lambda job: channel.unary_unary("/peers.Peers/Late")(b"", timeout=job["deadline"]),
        "download": down,
        "upload": lambda job: int(channel.stream_unary("/peers.Peers/Upload")(sent(job), timeout=60)),
        "chat": lambda job: sum(map(len, channel.stream_stream("/peers.Peers/Chat")(sent(job), timeout=60))),
        "refuse": lambda job: list(channel.stream_stream("/peers.Peers/Refuse")(sent(job), timeout=60)),
    }


def run(call, job):
    results = collections.Counter()
    lock = threading.Lock()
    left = iter(range(job["count"]))

    def worker():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                result = str(call(job))
            except grpc.RpcError as error:
                result = f"{error.code().name}: {error.details()}"
            with lock:
                results[result] += 1

    workers = [threading.Thread(target=worker) for _ in range(job["atOnce"])]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    return results


def client(target, folder=None, server_name=None):
    if folder is None:
        channel = grpc.insecure_channel(target, UNLIMITED)
    else:
        pem = [open(os.path.join(folder, name), "rb").read() for name in ("ca.crt", "tls.key", "tls.crt")]
        options = [*UNLIMITED, ("grpc.ssl_target_name_override", server_name)]
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(*pem), options)
    modes = calls(channel)
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps({"results": run(modes[job["mode"]], job)}), flush=True)


{"server": server, "client": client}[sys.argv[1]](*sys.argv[2:])
