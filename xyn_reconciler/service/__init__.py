"""One function a verb: what pages, API and CLI can ask of a node.

Every function takes the :class:`Context` first, and the principal who acts
where something changes. Answers are the shapes of ``model.dto``; whatever goes
wrong is a ``XynError``.
"""
