"""What a plugin does whose native library is gone."""

raise OSError("libnative.so.1: cannot open shared object file")
