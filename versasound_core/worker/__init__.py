"""Backends in an environment of their own: build it, keep a process alive in it, and talk to that process.

`environments` knows which there are, `build` makes them, `process` keeps a worker alive, `serve` is what runs in it,
`wire` is how containers travel, and `proxy` is what the registry hands out in the backend's place.
"""
