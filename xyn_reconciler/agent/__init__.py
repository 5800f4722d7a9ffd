"""Agents: a question in, data out. They can only answer; what they want done goes through steps."""
