"""semantic-router's side of benchmarks/compiled.py: run by an interpreter that has it, one JSON line in, one out.

The first line names the directory of the encoder's files and the routes with their utterances; every further line is a text,
answered with the milliseconds that routing it took, on the wall and of the process's CPU.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from semantic_router import IndexedRouter, Route
from semantic_router.encoders import HuggingFaceEncoder


def main() -> None:
    """Answer until the input ends."""
    torch.set_num_threads(1)
    asked = json.loads(sys.stdin.readline())
    encoder = HuggingFaceEncoder(name=asked["model"], device="cpu")
    routes = [Route(name=name, utterances=texts) for name, texts in asked["routes"].items()]
    router = IndexedRouter(encoder=encoder, routes=routes)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        text = json.loads(line)
        start, cpu = time.perf_counter(), time.process_time()
        router(text)
        spent = (time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3
        print(json.dumps(spent), flush=True)


if __name__ == "__main__":
    main()
