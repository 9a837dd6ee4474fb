"""A unary and a streaming call over one connection, silent for so many seconds: client.py ADDRESS HOST ROOTS SECONDS."""

import sys
import threading

import grpc


def unary(channel: grpc.Channel, seconds: bytes) -> None:
    assert channel.unary_unary("/peer.Silent/Unary")(seconds) == seconds
    print("unary ok", flush=True)


def stream(channel: grpc.Channel, seconds: bytes) -> None:
    messages = list(channel.unary_stream("/peer.Silent/Stream")(seconds))
    assert messages == [seconds, seconds], messages
    print("stream ok", flush=True)


def main(address: str, host: str, roots: str, seconds: str) -> None:
    with open(roots, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
    with grpc.secure_channel(address, credentials, options) as channel:
        calls = [
            threading.Thread(target=call, args=(channel, seconds.encode())) for call in (unary, stream)
        ]
        for call in calls:
            call.start()
        for call in calls:
            call.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
