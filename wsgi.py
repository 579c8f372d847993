"""For any WSGI server: ``gunicorn wsgi:app``. The worker is a process of its own: ``mcpweb worker``."""
from mcpweb import create_app

app = create_app()
