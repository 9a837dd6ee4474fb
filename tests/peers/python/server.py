"""A gRPC server with its defaults. It answers after as many seconds as the message says, and prints its address."""

import time
from concurrent import futures

import grpc


def unary(seconds: bytes, _: grpc.ServicerContext) -> bytes:
    time.sleep(int(seconds))
    return seconds


def stream(seconds: bytes, _: grpc.ServicerContext):
    yield seconds
    time.sleep(int(seconds))
    yield seconds


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("peer.Silent", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
