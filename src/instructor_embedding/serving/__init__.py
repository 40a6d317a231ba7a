"""An embedding server: texts with their instructions come in over HTTP, vectors of one shared batch go out."""

SERVERS = ("granian", "uvicorn")
LOG_FORMATS = ("text", "json", "off")
