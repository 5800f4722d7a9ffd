"""``/api/v1``: the routes of seed 44.2 with the shapes of seed 45, one module per noun.

:mod:`flask_ui.api.table` holds what every route has in common and what the
OpenAPI document says of it; :mod:`flask_ui.api.openapi` writes that document.
"""
