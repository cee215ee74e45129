"""Latencies of networks on the device where they are deployed: a measurement server there, and its client here.

The server needs numpy and a runtime alone, neither torch nor Lightning; `ServedDevice` is what `Latency(on=...)` asks.
"""
