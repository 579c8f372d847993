"""Permission tags, as the views import them."""
from mcpweb.permissions import PUBLIC, permission, permission_of

__all__ = ["PUBLIC", "permission", "permission_of"]
