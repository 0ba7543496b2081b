"""What a script does that somebody made into a plugin."""

raise SystemExit("wrong number of arguments")
