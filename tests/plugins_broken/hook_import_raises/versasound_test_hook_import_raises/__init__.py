"""An observer that cannot be imported."""

raise ImportError("libobserver.so.1: cannot open shared object file")
