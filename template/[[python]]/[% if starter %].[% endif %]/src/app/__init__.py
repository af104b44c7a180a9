"""Sign-ups over HTTP: create one, read it, convert it."""
