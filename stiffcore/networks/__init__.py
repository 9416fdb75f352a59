"""Residual networks, their blocks and their weights."""
