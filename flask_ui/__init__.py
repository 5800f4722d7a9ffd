"""What people and programs ask: pages, fragments, ``/api/v1``, ``/hooks``, ``/git``.

No logic: a view parses, calls ``xyn_reconciler.service``, renders.
"""
